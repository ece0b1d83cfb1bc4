# A worker: the engine of the base image, and the two packages that claim and run turns.
#   docker build -f deploy/worker.Dockerfile -t opsite-worker .
# The base is the official vLLM image; any image with Python 3.11+ (and an engine, unless only `simulated` is wanted) will do:
#   docker build -f deploy/worker.Dockerfile --build-arg BASE_IMAGE=python:3.11-slim -t opsite-worker:slim .
ARG BASE_IMAGE=vllm/vllm-openai:v0.11.0
FROM ${BASE_IMAGE}

LABEL org.opencontainers.image.title="opsite-worker" org.opencontainers.image.licenses="Apache-2.0"

# In a folder of its own, so that nothing of the base is touched; the base's own packages come first.
ARG PIP_ARGS=""
RUN python3 -m pip install --no-cache-dir --no-deps --disable-pip-version-check -q ${PIP_ARGS} --target /opt/opsite/packages \
    "redis>=6" "hiredis>=3" "msgspec>=0.19"
COPY taskqueue /opt/opsite/taskqueue
COPY gpu_worker /opt/opsite/gpu_worker

ENV PYTHONPATH=/opt/opsite:/opt/opsite/packages \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HF_HUB_OFFLINE=1 \
    HOME=/tmp/home
WORKDIR /opt/opsite
USER 65534:65534
STOPSIGNAL SIGTERM
ENTRYPOINT ["python3", "-m", "gpu_worker"]
