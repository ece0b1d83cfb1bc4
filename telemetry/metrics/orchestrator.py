"""Of the orchestrators; what the one that leads knows of pools and workers is `orchestrator.measured`."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from telemetry.metrics.buckets import START_BUCKETS_S, TICK_BUCKETS_S

LEADS = Gauge("opsite_orchestrator_leads", "1 for the orchestrator that leads, 0 for one that stands by.")
TICKS = Counter("opsite_ticks_total", "Passes of the control loop, `ok` or `failed`.", ["outcome"])
TICK_SECONDS = Histogram("opsite_tick_duration_seconds", "What a pass takes.", buckets=TICK_BUCKETS_S)
DECISIONS = Counter(
    "opsite_scaling_decisions_total",
    "Decisions that were kept: `up`, `down`, or `note` (the size stays).",
    ["pool", "direction"],
)
WORKER_STARTS = Counter("opsite_worker_starts_total", "Workers that were started.", ["pool"])
WORKER_ENDS = Counter("opsite_worker_ends_total", "Workers that ended, `stopped` or `failed`.", ["pool", "state"])
WORKER_START_SECONDS = Histogram(
    "opsite_worker_start_duration_seconds",
    "From a worker's start until it is ready.",
    ["pool"],
    buckets=START_BUCKETS_S,
)
