"""Floors by time table: at least so many workers on these days between these hours, under whichever policy. Pure.

A table in wall-clock time of one zone, as people write it: a floor that begins at 08:00 begins at 08:00 on both sides of a
change to summer time. It is met one cold start early, so that the workers serve when it begins. Where floors overlap, the
highest stands.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOUR = re.compile(r"^([01]\d|2[0-3]):([0-5]\d)$|^24:00$")
MINUTE_S = 60.0
_FIELDS = {"days", "from", "to", "workers"}


class BadSchedule(Exception):
    """A time table that cannot be read: the message says which row, and what is expected there."""


@dataclass(frozen=True, slots=True)
class Floor:
    """At least `workers` on `days`, from `begin` to `end` (`HH:MM`, excluded); an end that is not later is the next day's."""

    days: tuple[str, ...]
    begin: str
    end: str
    workers: int

    def __str__(self) -> str:
        days = "every day" if set(self.days) == set(DAYS) else ", ".join(self.days)
        return f"{days} {self.begin} to {self.end}"


def parse(rows: object) -> tuple[Floor, ...]:
    """From JSON: `[{"days": ["mon", "tue"], "from": "08:00", "to": "18:00", "workers": 3}]`, or nothing. Raises `BadSchedule`."""
    if not rows and (rows is None or isinstance(rows, dict | str)):
        return ()
    if not isinstance(rows, list):
        raise BadSchedule("The schedule is a list of rows.")
    return tuple(_row(number, row) for number, row in enumerate(rows, start=1))


def zone_of(name: str) -> ZoneInfo:
    """The time zone of that name in the IANA database. Raises `BadSchedule`."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BadSchedule(f"There is no time zone {name!r}; write one like 'UTC' or 'Europe/Berlin'.") from None


def highest(floors: Sequence[Floor], *, time_zone: str, now: float, ahead_s: float) -> Floor | None:
    """The floor that counts now, or will within `ahead_s` seconds; None without one. `now` is Unix time."""
    if not floors:
        return None
    zone = zone_of(time_zone)
    looks = math.ceil(ahead_s / MINUTE_S) or 1
    moments = [datetime.fromtimestamp(now + ahead_s * look / looks, zone) for look in range(looks + 1)]
    standing = [floor for floor in floors if any(_holds(floor, moment) for moment in moments)]
    return max(standing, key=lambda floor: floor.workers, default=None)


def _holds(floor: Floor, moment: datetime) -> bool:
    clock = moment.strftime("%H:%M")
    today, yesterday = DAYS[moment.weekday()], DAYS[(moment.date() - timedelta(days=1)).weekday()]
    if floor.begin < floor.end:
        return today in floor.days and floor.begin <= clock < floor.end
    return (today in floor.days and clock >= floor.begin) or (yesterday in floor.days and clock < floor.end)


def _row(number: int, row: object) -> Floor:
    def bad(words: str) -> BadSchedule:
        return BadSchedule(f"Row {number} of the schedule: {words}")

    if not isinstance(row, dict) or set(row) != _FIELDS:
        raise bad(f"it has the fields {', '.join(sorted(_FIELDS))}, and no others.")
    days, workers = row["days"], row["workers"]
    if not isinstance(days, list) or not days or not _known(days):
        raise bad(f"days are a list out of {', '.join(DAYS)}.")
    hours = [row["from"], row["to"]]
    if not all(isinstance(hour, str) and _HOUR.match(hour) for hour in hours) or hours[0] == "24:00":
        raise bad("from and to are hours like 08:00; to may be 24:00.")
    if not isinstance(workers, int) or isinstance(workers, bool) or workers < 0:
        raise bad("workers is a whole number, 0 or more.")
    return Floor(tuple(day for day in DAYS if day in days), hours[0], hours[1], workers)


def _known(days: Iterable[object]) -> bool:
    return all(day in DAYS for day in days)
