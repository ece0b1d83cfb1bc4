"""When celery was last heard, and until when it may be silent: its worker says so here, and the overview asks.

It lies in Django's cache, which is in Redis.
"""

from __future__ import annotations

import logging

import msgspec
from django.core.cache import cache

log = logging.getLogger(__name__)

KEY = "celery:heard"


class Heard(msgspec.Struct, frozen=True):
    """When celery said something last, and until when it will again; Unix s."""

    at: float
    until: float


def beat(at: float, *, within_s: float) -> None:
    """Celery is there, and will say so again within so many seconds."""
    cache.set(KEY, msgspec.json.encode(Heard(at, at + within_s)), timeout=None)


def heard() -> Heard | None:
    """What celery said last; None where nothing is known of it: it was never started, or Redis has lost it or does not answer."""
    try:
        said = cache.get(KEY)
    except (
        Exception
    ) as error:  # whatever the cache's client raises; of a Redis that is away the overview tells by the queues
        log.debug("it cannot be read whether celery was heard: %s", error)
        return None
    return None if said is None else msgspec.json.decode(said, type=Heard)
