# Build the wheel, install it on the pinned libraries, and run it as a user who owns nothing but the data directory.
#   docker build --build-arg VERSION=0.1.0 --build-arg REVISION=$(git rev-parse HEAD) --tag notifier .
#   docker build --target celery --tag notifier-celery .     the same with Celery, its transport for Redis, and Flower
# It runs with a read-only root file system: it writes to /var/lib/notifier (a volume) and to /tmp (a tmpfs).
# The base image is pinned to a version, not to a digest: a digest could not be looked up where this file was written.
FROM python:3.13.15-slim AS build
WORKDIR /src
COPY requirements.lock requirements-build.lock pyproject.toml README.md CHANGELOG.md LICENSE ./
COPY notifier notifier
COPY templates templates
COPY alembic alembic
# What builds the wheel is pinned by hashes like what runs it, and is left behind in this stage.
RUN python -m venv /opt/notifier \
 && /opt/notifier/bin/pip install --no-cache-dir --require-hashes -r requirements.lock \
 && python -m pip install --no-cache-dir --require-hashes -r requirements-build.lock \
 && python -m pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheel . \
 && /opt/notifier/bin/pip install --no-cache-dir --no-deps --no-index /wheel/*.whl

# What the image for Celery workers has in addition; the other image does not contain it.
FROM build AS build-celery
COPY requirements-celery.lock ./
RUN /opt/notifier/bin/pip install --no-cache-dir --require-hashes -r requirements-celery.lock

FROM python:3.13.15-slim AS runtime
ARG VERSION=unreleased
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Notifier" \
      org.opencontainers.image.description="E-mail notification service: API, sender and console" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN groupadd --system --gid 10001 notifier \
 && useradd --system --uid 10001 --gid 10001 --no-log-init --home-dir /var/lib/notifier --create-home notifier \
 && chmod 700 /var/lib/notifier
# The port of a sender's probes is that of the API, so that one health check fits both.
ENV PATH=/opt/notifier/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    NOTIFIER_DATA_DIR=/var/lib/notifier \
    NOTIFIER_SENDER__METRICS_PORT=8000 \
    NOTIFIER_LOG_FORMAT=json
# By number: Kubernetes refuses a name under runAsNonRoot.
USER 10001:10001
WORKDIR /var/lib/notifier
VOLUME /var/lib/notifier
EXPOSE 8000
# Whether the process answers. Not /readyz: Swarm would replace all senders while the relay is down.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --start-interval=1s --retries=3 \
  CMD ["python", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 8000, timeout=4); c.request('GET', '/livez'); raise SystemExit(c.getresponse().status != 200)"]
# SIGTERM: no new claims, what is in flight is finished, the rest is given back.
STOPSIGNAL SIGTERM
ENTRYPOINT ["notifier"]
CMD ["serve", "--host", "0.0.0.0"]

FROM runtime AS celery
COPY --from=build-celery /opt/notifier /opt/notifier

# The last stage is the one that is built unless another is named.
FROM runtime
COPY --from=build /opt/notifier /opt/notifier
