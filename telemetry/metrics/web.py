"""Of the web processes."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from telemetry.metrics.buckets import REQUEST_BUCKETS_S

HTTP_REQUESTS = Counter(
    "opsite_http_requests_total", "Answers, by the route's template and the status.", ["method", "route", "status"]
)
HTTP_SECONDS = Histogram(
    "opsite_http_request_duration_seconds",
    "From the request until its answer begins; of a stream, until its headers are sent.",
    ["method", "route"],
    buckets=REQUEST_BUCKETS_S,
)
HTTP_OPEN = Gauge(
    "opsite_http_requests_open",
    "Requests under way: what has not been answered to the end, streams and websockets included.",
    ["kind"],
    multiprocess_mode="livesum",
)
SUBMISSIONS = Counter(
    "opsite_submissions_total",
    "Tasks that were submitted: `accepted`, `repeated` (an idempotency key that was known), or the code that refused them.",
    ["pool", "outcome"],
)
