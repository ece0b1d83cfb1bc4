"""Of celery's worker. Names are those of the tasks that the code registers: what is unknown is never run."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from telemetry.metrics.buckets import TASK_BUCKETS_S

CELERY_TASKS = Counter(
    "opsite_celery_tasks_total",
    "Celery's tasks that ran, by name and outcome (`ok`, `error`). `opsite.jobs.heartbeat` shows "
    "that beat, Redis and worker are there.",
    ["name", "outcome"],
)
CELERY_TASK_SECONDS = Histogram(
    "opsite_celery_task_duration_seconds", "What a run of a celery task took.", ["name"], buckets=TASK_BUCKETS_S
)
CELERY_LAST_SUCCESS = Gauge(
    "opsite_celery_task_last_success_timestamp_seconds",
    "When a celery task last ended well (Unix s), by this process or by one before it.",
    ["name"],
)
