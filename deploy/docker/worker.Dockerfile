# A worker: `mezzotint worker` on one NVIDIA GPU. PyTorch's wheels bring CUDA's libraries, the host brings the driver (580 or
# newer) and NVIDIA's container toolkit. In a checkout:
#   docker build -f deploy/docker/worker.Dockerfile -t mezzotint-worker:0.1.0 .
# How it is run: docs/how-to/containers.md.
FROM python:3.11.13-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM nvidia/cuda:13.0.1-base-ubuntu24.04
# Versions of Ubuntu's own packages leave its archive when they are superseded: they are pinned by the base image's release.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --no-install-recommends --yes python3 python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv /opt/mezzotint \
    && groupadd --system --gid 10001 mezzotint \
    && useradd --system --uid 10001 --gid 10001 --home-dir /var/lib/mezzotint --create-home --shell /usr/sbin/nologin mezzotint
ENV PATH=/opt/mezzotint/bin:$PATH
# Extras of pyproject.toml. For Ray's pods: --build-arg EXTRAS=postgres,nvml,fleet
ARG EXTRAS=postgres,nvml
COPY constraints.txt /tmp/constraints.txt
COPY --from=build /wheels /wheels
RUN wheel=$(echo /wheels/mezzotint-*.whl) \
    && pip install --no-cache-dir --constraint /tmp/constraints.txt "mezzotint[${EXTRAS}] @ file://${wheel}"

USER 10001:10001
WORKDIR /var/lib/mezzotint
ENV PYTHONUNBUFFERED=1 \
    MEZZOTINT_DATA=/var/lib/mezzotint/data \
    MEZZOTINT_WORKER_METRICS_PORT=9400 \
    MEZZOTINT_LOG_JSON=true
HEALTHCHECK --interval=30s --timeout=10s --start-period=180s --retries=4 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:9400/metrics', timeout=8)"]
ENTRYPOINT ["mezzotint"]
CMD ["worker", "--device", "cuda"]
