# The gateway: `mezzotint serve --no-worker`, without PyTorch and without Ray. In a checkout:
#   docker build -f deploy/docker/gateway.Dockerfile -t mezzotint-gateway:0.1.0 .
# How it is run: docs/how-to/containers.md.
FROM python:3.11.13-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.11.13-slim-bookworm
RUN groupadd --system --gid 10001 mezzotint \
    && useradd --system --uid 10001 --gid 10001 --home-dir /var/lib/mezzotint --create-home --shell /usr/sbin/nologin mezzotint
# The list is complete and pinned: nothing else comes along (lock_gateway.py makes it).
COPY deploy/docker/gateway-requirements.txt /tmp/gateway-requirements.txt
RUN pip install --no-cache-dir --no-deps --requirement /tmp/gateway-requirements.txt
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir --no-deps /wheels/*.whl

USER 10001:10001
WORKDIR /var/lib/mezzotint
ENV PYTHONUNBUFFERED=1 \
    MEZZOTINT_DATA=/var/lib/mezzotint/data \
    MEZZOTINT_HOST=0.0.0.0 \
    MEZZOTINT_PORT=8400 \
    MEZZOTINT_LOG_JSON=true
EXPOSE 8400
# Whether the process lives. Load balancers and Kubernetes ask /readyz besides.
HEALTHCHECK --interval=15s --timeout=5s --start-period=90s --retries=4 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8400/healthz', timeout=4)"]
ENTRYPOINT ["mezzotint"]
CMD ["serve", "--no-worker"]
