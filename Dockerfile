# Build the wheel, install it on the pinned libraries, and run it as a user who owns nothing but the data directory.
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

FROM python:3.13.15-slim
RUN useradd --system --uid 10001 --home-dir /var/lib/notifier --create-home notifier \
 && chmod 700 /var/lib/notifier
COPY --from=build /opt/notifier /opt/notifier
ENV PATH=/opt/notifier/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    NOTIFIER_DATA_DIR=/var/lib/notifier \
    NOTIFIER_LOG_FORMAT=json
USER notifier
WORKDIR /var/lib/notifier
EXPOSE 8000
# SIGTERM: no new claims, what is in flight is finished, the rest is given back.
STOPSIGNAL SIGTERM
ENTRYPOINT ["notifier"]
CMD ["serve", "--host", "0.0.0.0"]
