"""Of the recorder."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from telemetry.metrics.buckets import REQUEST_BUCKETS_S, TASK_BUCKETS_S, WAIT_BUCKETS_S

RECORDS = Counter("opsite_records_total", "Records that the recorder has committed.", ["pool", "kind"])
RECORD_SECONDS = Histogram(
    "opsite_record_batch_duration_seconds",
    "From a batch of records that was read until it is committed and acknowledged.",
    ["pool"],
    buckets=REQUEST_BUCKETS_S,
)
RECORD_LAG = Gauge(
    "opsite_recorder_lag_seconds",
    "How old the oldest record of the last batch was when it was committed; 0 when nothing was left to record.",
    ["pool"],
)
TASKS_ENDED = Counter(
    "opsite_tasks_ended_total",
    "Tasks with an outcome; `code` is the error's, empty without one.",
    ["pool", "state", "code"],
)
TASK_WAIT = Histogram(
    "opsite_task_wait_seconds",
    "From a task's acceptance until a worker first claimed it, of tasks that have ended.",
    ["pool"],
    buckets=WAIT_BUCKETS_S,
)
TASK_FIRST_TOKEN = Histogram(
    "opsite_task_first_token_seconds",
    "From a task's acceptance to its first token, of tasks that have ended.",
    ["pool"],
    buckets=WAIT_BUCKETS_S,
)
TASK_SECONDS = Histogram(
    "opsite_task_duration_seconds", "From a task's acceptance to its end.", ["pool"], buckets=TASK_BUCKETS_S
)
TOKENS = Counter(
    "opsite_tokens_total",
    "Tokens of ended tasks: `prompt`, of these `cached` ones that the engine had not to read anew, and `completion`.",
    ["pool", "kind"],
)
