"""What the recorder and the faces tell the metrics of tasks. Each function is called once for what it tells, after the commit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from taskqueue.messages import Record
from telemetry.metrics.recorder import (
    RECORD_LAG,
    RECORD_SECONDS,
    RECORDS,
    TASK_FIRST_TOKEN,
    TASK_SECONDS,
    TASK_WAIT,
    TASKS_ENDED,
    TOKENS,
)
from telemetry.metrics.web import SUBMISSIONS


def submitted(pool: str, outcome: str, *, count: int = 1) -> None:
    """Tasks were accepted, found again, or refused with this code."""
    SUBMISSIONS.labels(pool, outcome).inc(count)


def idle(pool: str) -> None:
    """There is nothing to record."""
    RECORD_LAG.labels(pool).set(0)


def recorded(pool: str, records: Sequence[Record], *, took_s: float, now: float) -> None:
    """A batch was committed. `now` is this host's clock, the records' is that of Redis."""
    RECORD_SECONDS.labels(pool).observe(took_s)
    RECORD_LAG.labels(pool).set(max(0.0, now - records[0].at_ms / 1000))
    for record in records:
        RECORDS.labels(pool, record.kind).inc()


def ended(pool: str, rows: Iterable[Any]) -> None:
    """Tasks have an outcome: `rows` as the recorder's statement returns them."""
    wait, first, whole = TASK_WAIT.labels(pool), TASK_FIRST_TOKEN.labels(pool), TASK_SECONDS.labels(pool)
    prompt, cached, completion = (TOKENS.labels(pool, kind) for kind in ("prompt", "cached", "completion"))
    for row in rows:
        TASKS_ENDED.labels(pool, row.state, row.code or "").inc()
        whole.observe(_between(row.created_at, row.finished_at))
        if row.started_at is not None:
            wait.observe(_between(row.created_at, row.started_at))
        if row.first_token_at is not None:
            first.observe(_between(row.created_at, row.first_token_at))
        prompt.inc(row.prompt_tokens)
        cached.inc(row.cached_tokens)
        completion.inc(row.completion_tokens)


def _between(earlier: datetime, later: datetime) -> float:
    """Seconds; 0 where two clocks differ."""
    return max(0.0, (later - earlier).total_seconds())
