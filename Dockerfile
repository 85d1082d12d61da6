# Build the wheel, install it on the pinned libraries, and run it as a user who owns nothing but the data directory.
FROM python:3.13-slim AS build
WORKDIR /src
COPY requirements.lock pyproject.toml README.md CHANGELOG.md LICENSE ./
COPY notifier notifier
COPY templates templates
COPY alembic alembic
RUN python -m venv /opt/notifier \
 && /opt/notifier/bin/pip install --no-cache-dir --require-hashes -r requirements.lock \
 && python -m pip wheel --no-cache-dir --no-deps --wheel-dir /wheel . \
 && /opt/notifier/bin/pip install --no-cache-dir --no-deps /wheel/*.whl

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /var/lib/notifier --create-home notifier
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
