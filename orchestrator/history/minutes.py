"""Demand by the minute, from a counter that only grows: whole minutes are closed, what nobody saw is left out. Pure.

The queue counts for ever the turns that came in and their tokens. A minute's count is the difference of two readings, each
taken at the minute's edge: where no reading fell on the edge, it lies on the line between the two around it. So nothing is lost
or counted twice while readings follow each other, by whomever they are taken: a new leader goes on from the reading that
is stored with the last minute.

Readings that are more than `SPREAD_S` apart say nothing of the minutes between, nor of the two that they cut: these are gaps,
not zeros.

A counter that is lower than before has begun anew: Redis lost its data. What had come and not ended by then comes back
through the sweep, and is counted a second time. As many turns as waited or ran at the last reading are therefore left out of
the count, for `RETURN_S` at most: a loss of data is no rush of clients.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

MINUTE_S = 60

SPREAD_S = 90.0
"""What came between readings no further apart is spread evenly over the time between."""

RETURN_S = 60.0
"""For so long after a counter began anew, what comes may be what was there before."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The queue at the moment `at` (s): turns and tokens that ever came in, turns that wait, turns that wait or run."""

    at: float
    arrived: int
    tokens: int
    waiting: int = 0
    held: int = 0


@dataclass(frozen=True, slots=True)
class Minute:
    """A whole minute from `begins_at` (s) on: what came in, the most that waited, and the counters at its end."""

    begins_at: int
    arrived: int
    tokens: int
    most_waiting: int
    arrived_after: int
    tokens_after: int


@dataclass(frozen=True, slots=True)
class Tally:
    """The minute that has not ended: what came so far. `whole`: it is known from its first moment on.

    `owed`: turns that may still come back after a loss of data, until `owed_until`.
    """

    last: Reading
    begins_at: int
    whole: bool = False
    arrived: int = 0
    tokens: int = 0
    most_waiting: int = 0
    owed: int = 0
    owed_until: float = 0.0


def resumed(last: Minute) -> Tally:
    """As another leader left it."""
    end = last.begins_at + MINUTE_S
    return Tally(Reading(end, last.arrived_after, last.tokens_after), begins_at=end, whole=True)


def after(past: Tally | None, reading: Reading) -> tuple[Tally, tuple[Minute, ...]]:
    """The tally after a reading, and the minutes that ended before it. An older reading changes nothing."""
    if past is None or reading.at - past.last.at > SPREAD_S:
        return _anew(reading), ()
    if reading.at <= past.last.at:
        return past, ()
    growth, tally = _growth(past, reading)
    closed: list[Minute] = []
    known_at = past.last.at
    left, left_tokens = growth
    while reading.at >= (end := tally.begins_at + MINUTE_S):
        share = (end - known_at) / (reading.at - known_at)
        came, tokens = round(left * share), round(left_tokens * share)
        left, left_tokens, known_at = left - came, left_tokens - tokens, float(end)
        if tally.whole:
            closed.append(
                Minute(
                    begins_at=tally.begins_at,
                    arrived=tally.arrived + came,
                    tokens=tally.tokens + tokens,
                    most_waiting=tally.most_waiting,
                    arrived_after=max(0, reading.arrived - left),
                    tokens_after=max(0, reading.tokens - left_tokens),
                )
            )
        tally = replace(tally, begins_at=end, whole=True, arrived=0, tokens=0, most_waiting=0)
    tally = replace(
        tally,
        last=reading,
        arrived=tally.arrived + left,
        tokens=tally.tokens + left_tokens,
        most_waiting=max(tally.most_waiting, reading.waiting),
    )
    return tally, tuple(closed)


def _anew(reading: Reading) -> Tally:
    """Nothing is known of the minute before this reading, unless it falls on the very edge."""
    begins_at = int(reading.at // MINUTE_S) * MINUTE_S
    return Tally(reading, begins_at, whole=reading.at == begins_at, most_waiting=reading.waiting)


def _growth(past: Tally, reading: Reading) -> tuple[tuple[int, int], Tally]:
    """Turns and tokens that came since the last reading, without those that only came back."""
    last = past.last
    came, tokens = reading.arrived - last.arrived, reading.tokens - last.tokens
    if came < 0:
        past = replace(past, owed=last.held, owed_until=reading.at + RETURN_S)
        came, tokens = reading.arrived, reading.tokens
    came, tokens = max(0, came), max(0, tokens)
    if not past.owed or not came:
        return (came, tokens), past
    if reading.at > past.owed_until:
        return (came, tokens), replace(past, owed=0)
    back = min(came, past.owed)
    return (came - back, tokens * (came - back) // came), replace(past, owed=past.owed - back)
