"""The clock of the stateful test: it stands in Redis, and moves by one tick whenever a script reads it.

By Redis' own clock, which turns come in the same millisecond, and so which of them comes first, is chance: hypothesis could not
repeat what it has found. By this one the same calls come at the same times, however slow the machine.
"""

from __future__ import annotations

import hashlib
from functools import cache

from redis import Redis

from taskqueue import scripts
from taskqueue.scripts import Script

START_MS = 1_800_000_000_000
"""In 2027: between the deadlines that have passed and those that never come."""
REDIS_CLOCK = "redis.call('TIME')"
OWN_CLOCK = "{ 0, 1000 * redis.call('HINCRBY', 'clock:' .. P, 'ms', redis.call('HGET', 'clock:' .. P, 'tick')) }"
"""As seconds and microseconds, which is how Redis tells the time."""


@cache
def script(name: str) -> Script:
    """In place of `taskqueue.scripts.script`: a script of the queue that reads this clock, and is the same otherwise."""
    text = scripts.script(name).text
    assert text.count(REDIS_CLOCK) == 1, f"{name} reads Redis' clock elsewhere than prelude.lua, where all do"
    text = text.replace(REDIS_CLOCK, OWN_CLOCK)
    return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


class Clock:
    """One pool's time. Its key does not start with the pool's prefix: it is none of the queue's."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        self.redis = redis
        self.key = f"clock:{prefix}"
        redis.hset(self.key, mapping={"ms": START_MS, "tick": 1})

    def tick(self, ms: int) -> None:
        """Each script from now on reads a time that is so much later than the last one's; 0: the same."""
        self.redis.hset(self.key, "tick", ms)

    def now_ms(self) -> int:
        return int(self.redis.hget(self.key, "ms"))

    def close(self) -> None:
        self.redis.delete(self.key)
