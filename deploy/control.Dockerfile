# The control plane: web, orchestrator, recorder and celery are one image with different commands.
#   docker build -f deploy/control.Dockerfile -t opsite .
ARG BASE_IMAGE=python:3.11-slim
FROM ${BASE_IMAGE}

LABEL org.opencontainers.image.title="opsite" org.opencontainers.image.licenses="Apache-2.0"

RUN python3 -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
ARG PIP_ARGS=""
COPY requirements.txt /opt/opsite/
RUN pip install --no-cache-dir --disable-pip-version-check -q ${PIP_ARGS} -r /opt/opsite/requirements.txt
COPY manage.py /opt/opsite/
COPY opsite /opt/opsite/opsite
COPY tenants /opt/opsite/tenants
COPY agents /opt/opsite/agents
COPY orchestrator /opt/opsite/orchestrator
COPY taskqueue /opt/opsite/taskqueue
COPY gpu_worker /opt/opsite/gpu_worker
COPY templates /opt/opsite/templates
COPY static /opt/opsite/static
WORKDIR /opt/opsite
ENV OPSITE_DATA_DIR=/var/lib/opsite STATIC_ROOT=/opt/opsite/staticfiles
RUN mkdir -p /var/lib/opsite && chown 65534:65534 /var/lib/opsite \
    && SECRET_KEY=build python manage.py collectstatic --noinput -v 0
USER 65534:65534
EXPOSE 8000
CMD ["python", "manage.py", "serve", "--host", "0.0.0.0"]
