"""Headers of answers in the OpenAPI document."""

from __future__ import annotations

from typing import Any

RATE_LIMITS: dict[str, Any] = {
    f"x-ratelimit-{part}-{what}": {
        "schema": {"type": "string" if part == "reset" else "integer"},
        "description": f"{said.format(what=what)} Sent where they are limited per minute.",
    }
    for part, said in (
        ("limit", "How many {what} a minute are allowed."),
        ("remaining", "How many {what} are left now."),
        ("reset", "When all {what} are there again, such as `8.64s` or `1m30s`."),
    )
    for what in ("requests", "tokens")
}
QUEUE: dict[str, Any] = {
    f"x-queue-{name}": {"schema": {"type": kind}, "description": f"As `queue` of a task says it: {said}."}
    for name, kind, said in (
        ("position", "integer", "`position`"),
        ("expected-wait-low", "number", "`expected_wait_s.low`, in seconds; left out where it is not known"),
        ("expected-wait-high", "number", "`expected_wait_s.high`, in seconds; left out where it is not known"),
    )
}
