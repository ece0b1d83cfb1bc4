"""When a schedule fires: nominal times out of a cron expression, and what becomes of those that were missed. Pure.

Expressions are those of Debian's cron (five fields; read by cronsim), and so is the rule around a change of the clocks. A schedule
that names its hour (neither minute nor hour begins with `*`) fires once: at a local time that does not exist, as soon as the gap is
over; at one that exists twice, the first time. A schedule that goes through all hours or minutes keeps its distance in real time,
so it fires in both of the doubled hours and in none that is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

CatchUp = Literal["skip", "last", "all"]

LATE = timedelta(seconds=60)
"""A firing that is later than this was missed: the catch-up rule says what becomes of it."""
ALL_MAX = 100
"""Missed firings that `all` makes good, at most; the latest of them."""
STEPS_MAX = 10_000
HORIZON = timedelta(days=7)
"""Where more than `STEPS_MAX` firings were missed, only those of the last seven days are looked at."""


class BadTiming(Exception):
    """A cron expression or a time zone that cannot be read. `field` names which."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be done now. `fire`: nominal times, in order; `missed` others are not made good, the last of them at `missed_at`.

    `next_at` is the first nominal time after now; None where there is none in fifty years.
    """

    fire: tuple[datetime, ...]
    missed: int
    missed_at: datetime | None
    next_at: datetime | None


def check(cron: str, time_zone: str) -> None:
    """Raise `BadTiming` for what cannot be read."""
    zone = _zone(time_zone)
    if len(cron.split()) != 5:
        raise BadTiming("cron", "has five fields: minute, hour, day of month, month, day of week, such as 30 8 * * 1-5")
    try:
        CronSim(cron, datetime(2000, 1, 1, tzinfo=zone))
    except CronSimError as error:
        raise BadTiming(
            "cron", f"{error}; write it as in 30 8 * * 1-5 (minute, hour, day, month, day of week)"
        ) from None


def coming(cron: str, time_zone: str, *, after: datetime) -> Iterator[datetime]:
    """Nominal times after a moment, ever later, in UTC. Ends where there is none in fifty years."""
    zone = _zone(time_zone)
    last = after
    for local in CronSim(cron, after.astimezone(zone)):
        moment = local.astimezone(UTC)
        # From within a doubled hour cronsim counts in local time, and may name the first of the two, which is over.
        if moment > last:
            last = moment
            yield moment


def due(cron: str, time_zone: str, *, next_at: datetime, now: datetime, catch_up: CatchUp) -> Due:
    """What of the nominal times from `next_at` until now is to be fired."""
    times = _until(cron, time_zone, start=next_at, now=now)
    match catch_up:
        case "skip":
            fire = [moment for moment in times if moment >= now - LATE]
        case "last":
            fire = times[-1:]
        case "all":
            fire = times[-ALL_MAX:]
    missed = times[: len(times) - len(fire)]
    following = next(coming(cron, time_zone, after=now), None)
    return Due(tuple(fire), len(missed), missed[-1] if missed else None, following)


def _until(cron: str, time_zone: str, *, start: datetime, now: datetime) -> list[datetime]:
    """Nominal times from `start`, which is one itself, until now."""
    if start > now:
        return []
    times = [start, *_up_to(now, islice(coming(cron, time_zone, after=start), STEPS_MAX))]
    if len(times) <= STEPS_MAX:
        return times
    return list(_up_to(now, coming(cron, time_zone, after=now - HORIZON)))


def _up_to(now: datetime, times: Iterator[datetime]) -> Iterator[datetime]:
    for moment in times:
        if moment > now:
            return
        yield moment


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BadTiming("time_zone", f"there is no time zone {name!r}; write one like UTC or Europe/Oslo") from None
