# The control plane: web, orchestrator, recorder and celery are one image with different commands.
#   docker build -f deploy/control.Dockerfile -t opsite .
ARG BASE_IMAGE=python:3.11-slim
FROM ${BASE_IMAGE}

LABEL org.opencontainers.image.title="opsite" \
      org.opencontainers.image.description="Opsite's control plane: web, orchestrator, recorder, celery" \
      org.opencontainers.image.licenses="Apache-2.0"

RUN python3 -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# What changes seldom comes first: the packages are their own layer.
ARG PIP_ARGS=""
COPY requirements.txt /opt/opsite/
RUN pip install --no-cache-dir --disable-pip-version-check --root-user-action ignore -q ${PIP_ARGS} -r /opt/opsite/requirements.txt
WORKDIR /opt/opsite
COPY manage.py ./
COPY docs/websocket.md docs/websocket.md
COPY templates templates
COPY static static
COPY taskqueue taskqueue
COPY gpu_worker gpu_worker
COPY tenants tenants
COPY orchestrator orchestrator
COPY outbound outbound
COPY webhooks webhooks
COPY agents agents
COPY batches batches
COPY knowledge knowledge
COPY billing billing
COPY schedules schedules
COPY comparisons comparisons
COPY telemetry telemetry
COPY audit audit
COPY staff staff
COPY console console
COPY opsite opsite

# The data folder is the only one that is written; with a read-only root it is mounted as tmpfs. No state that matters lies there.
ENV OPSITE_DATA_DIR=/var/lib/opsite STATIC_ROOT=/opt/opsite/staticfiles HOME=/tmp
RUN mkdir /var/lib/opsite && chown 65534:65534 /var/lib/opsite \
    && SECRET_KEY=build python manage.py collectstatic --noinput -v 0
USER 65534:65534
EXPOSE 8000
CMD ["python", "manage.py", "serve", "--host", "0.0.0.0"]
