# The service with every extra, from a lock with hashes. `docker build -t mlflow-hotswap .`
# What a model needs besides is installed for it below CACHE_DIR, or added in an image of your own:
# see docs/deploy.md.
FROM python:3.11-slim AS build

WORKDIR /build
RUN python -m venv --without-pip /opt/hotswap
# Apart from the source: this layer stays as long as the lock does.
COPY requirements-image.lock ./
RUN python -m pip --python /opt/hotswap install --no-cache-dir --no-deps --require-hashes -r requirements-image.lock
COPY pyproject.toml README.md LICENSE ./
COPY service ./service
RUN python -m pip --python /opt/hotswap install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.11-slim

# libgomp is what LightGBM and XGBoost load; the folder is the only one that the service writes to.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 hotswap \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/hotswap --shell /usr/sbin/nologin hotswap \
    && install -d -o 10001 -g 10001 -m 0700 /var/lib/hotswap
COPY --from=build /opt/hotswap /opt/hotswap

ENV PATH=/opt/hotswap/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/var/lib/hotswap \
    TMPDIR=/var/lib/hotswap \
    HOST=0.0.0.0 \
    PORT=8080 \
    CACHE_DIR=/var/lib/hotswap/cache \
    ENVIRONMENT=auto \
    LOG_FORMAT=json

USER 10001:10001
WORKDIR /var/lib/hotswap
VOLUME ["/var/lib/hotswap"]
EXPOSE 8080
# 0 where every model can answer. It goes by the settings: another PORT, or a certificate.
HEALTHCHECK --interval=15s --timeout=10s --start-period=180s --start-interval=2s CMD ["hotswap", "status"]
# No shell in between: the service is PID 1, and SIGTERM drains it.
STOPSIGNAL SIGTERM
ENTRYPOINT ["hotswap"]
CMD ["serve"]
