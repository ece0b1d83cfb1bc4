"""What celery's worker tells of itself: metrics of its tasks, `/livez` and `/readyz`, and the heartbeat that the overview hears.

The heartbeat is a task like the others (`opsite.jobs.heartbeat`): that it ran shows that beat, Redis and the worker are there. The
worker runs one task at a time (CELERY_WORKER_POOL), so the heartbeat waits meanwhile, and what runs says how long it may take.
"""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack
from typing import Any

from celery.signals import task_postrun, task_prerun, worker_ready, worker_shutdown
from django.core.cache import cache
from django.core.management.base import CommandError

from console.overview import heartbeat
from opsite.measured import metrics
from telemetry.metrics.celery import CELERY_LAST_SUCCESS, CELERY_TASK_SECONDS, CELERY_TASKS
from telemetry.pulse import PULSE

log = logging.getLogger(__name__)

WITHIN_S = 60.0
"""The heartbeat comes every 10 s."""
TASK_WITHIN_S = 1800.0
"""So long one task may take."""
SUCCEEDED = "celery:succeeded"
"""In Django's cache: when each task last ended well (Unix s), for the worker that comes after this one."""

_serving = ExitStack()
_begun: dict[str, float] = {}


@worker_ready.connect
def begin(**_: Any) -> None:
    """Serve the metrics, if OPSITE_METRICS_PORT asks for it; SystemExit where its port is taken."""
    try:
        _serving.enter_context(metrics())
    except CommandError as error:
        log.critical("%s", error)
        raise SystemExit(1) from None
    _beat(WITHIN_S)
    for name, at in (cache.get(SUCCEEDED) or {}).items():
        CELERY_LAST_SUCCESS.labels(name).set(at)


@worker_shutdown.connect
def end(**_: Any) -> None:
    """Serve them no more."""
    _serving.close()


@task_prerun.connect
def before(task_id: str, **_: Any) -> None:
    """A task begins."""
    _begun[task_id] = time.monotonic()
    _beat(TASK_WITHIN_S)


@task_postrun.connect
def after(task_id: str, task: Any, state: str | None = None, **_: Any) -> None:
    """A task has ended, well or not."""
    took_s = time.monotonic() - _begun.pop(task_id)
    CELERY_TASK_SECONDS.labels(task.name).observe(took_s)
    CELERY_TASKS.labels(task.name, "ok" if state == "SUCCESS" else "error").inc()
    _beat(WITHIN_S)
    if state == "SUCCESS":
        now = time.time()
        CELERY_LAST_SUCCESS.labels(task.name).set(now)
        cache.set(SUCCEEDED, {**(cache.get(SUCCEEDED) or {}), task.name: now}, timeout=None)


def _beat(within_s: float) -> None:
    PULSE.beat("celery", within_s=within_s)
    heartbeat.beat(time.time(), within_s=within_s)
