"""What becomes of a delivery after an attempt. Pure: `now` and `chance` are given.

The waits grow exponentially, with jitter, so that an endpoint that came back is not hit by all at once (Brooker, "Exponential
Backoff and Jitter", 2015). Attempts go on for a day; the last is made when it is over.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Literal

import msgspec

WINDOW = timedelta(hours=24)
FIRST_WAIT = timedelta(seconds=5)
LONGEST_WAIT = timedelta(hours=4)
FACTOR = 3
JITTER = 0.2
"""A wait is up to so much shorter or longer."""
WHOLE_DAY = WINDOW * 23 / 24
"""An endpoint that failed for so long when a delivery is given up has failed for the whole time of that delivery."""

GONE = 410


class Verdict(msgspec.Struct, frozen=True):
    """The delivery's next state; `due_at`: the next attempt's time, if there is one; `gone`: nobody wants to hear any more."""

    state: Literal["pending", "delivered", "failed"]
    due_at: datetime | None = None
    gone: bool = False


def judge(
    *, status: int | None, retry_after: str | None, tries: int, now: datetime, give_up_at: datetime, chance: float
) -> Verdict:
    """After attempt number `tries` (from 1), answered with `status`, or not at all (None).

    Any status of 200 to 299 is success, as the specification says. `chance`: uniform in [0, 1), for the jitter.
    """
    if status is not None and 200 <= status < 300:
        return Verdict("delivered")
    if status == GONE:
        return Verdict("failed", gone=True)
    if now >= give_up_at:
        return Verdict("failed")
    wait = max(backoff(tries, chance=chance), asked_wait(retry_after, now=now))
    return Verdict("pending", due_at=min(now + wait, give_up_at))


def backoff(tries: int, *, chance: float) -> timedelta:
    """The wait after so many attempts."""
    grown: timedelta = min(FIRST_WAIT * FACTOR ** min(tries - 1, 20), LONGEST_WAIT)
    return grown * (1 + JITTER * (2 * chance - 1))


def asked_wait(retry_after: str | None, *, now: datetime) -> timedelta:
    """What a `Retry-After` asks for (RFC 9110, 10.2.3: seconds or a date); nothing, if it is neither."""
    if retry_after is None:
        return timedelta()
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return min(timedelta(seconds=int(text[:9])), WINDOW)
    try:
        moment = parsedate_to_datetime(text)
        return min(max(moment - now, timedelta()), WINDOW)
    except (ValueError, TypeError):  # no date, or one without a time zone
        return timedelta()
