"""The current time where somebody lives. Pure: the caller brings the time."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from agents.tools.results import CallFailed


def current_time(now: datetime, timezone: str = "UTC") -> str:
    """`now` in that zone, with the day of the week, or `CallFailed`."""
    try:
        there = now.astimezone(ZoneInfo(timezone))
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise CallFailed(f"There is no time zone {timezone!r}; write it as Europe/Oslo.", sent=False) from error
    return f"{there:%A} {there.isoformat(timespec='seconds')} ({timezone})"
