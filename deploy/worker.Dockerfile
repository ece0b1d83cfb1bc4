# A worker: the engine that the base image brings, the two packages that claim and run turns, and the one file by which they log.
#   docker build -f deploy/worker.Dockerfile -t opsite-worker .
# The base is the official vLLM image. Any image with Python 3.11 or newer and pip will do, if it has the engine that is wanted;
# the `simulated` one needs nothing more:
#   docker build -f deploy/worker.Dockerfile --build-arg BASE_IMAGE=python:3.11-slim -t opsite-worker:slim .
ARG BASE_IMAGE=vllm/vllm-openai:v0.32.0
FROM ${BASE_IMAGE}

LABEL org.opencontainers.image.title="opsite-worker" \
      org.opencontainers.image.description="Claims turns from Opsite's queue and runs them in one batched engine" \
      org.opencontainers.image.licenses="Apache-2.0"

# The queue's client, and jsonschema where the base has none (vLLM brings it), in a folder of their own, so that the base's packages
# stay as they are on its disk.
ARG PIP_ARGS=""
COPY requirements.txt /opt/opsite/
RUN python3 -m pip install --no-cache-dir --disable-pip-version-check --root-user-action ignore -q ${PIP_ARGS} \
    --target /opt/opsite/packages --constraint /opt/opsite/requirements.txt "redis[hiredis]" msgspec && \
    (python3 -c "import jsonschema" 2>/dev/null || \
     python3 -m pip install --no-cache-dir --disable-pip-version-check --root-user-action ignore -q ${PIP_ARGS} \
     --target /opt/opsite/packages --constraint /opt/opsite/requirements.txt jsonschema)
COPY taskqueue /opt/opsite/taskqueue
COPY gpu_worker /opt/opsite/gpu_worker
COPY telemetry/__init__.py telemetry/logs.py /opt/opsite/telemetry/

# The user has no name in the image (the orchestrator may choose another one): torch asks for USER instead. HOME is the only
# folder besides /tmp that a worker writes; with a read-only root both are mounted as tmpfs.
RUN mkdir -m 1777 /home/opsite
ENV PYTHONPATH=/opt/opsite:/opt/opsite/packages \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HF_HUB_OFFLINE=1 \
    VLLM_NO_USAGE_STATS=1 \
    HOME=/home/opsite \
    USER=opsite
WORKDIR /opt/opsite
USER 65534:65534
STOPSIGNAL SIGTERM
# A worker's health is its heartbeat in Redis, which the orchestrator watches; the base's own check asks a server that is not here.
HEALTHCHECK NONE
ENTRYPOINT ["python3", "-m", "gpu_worker"]
CMD []
