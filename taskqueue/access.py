"""Workers' own users in Redis: what such a user may do, and how users are made, listed and deleted.

A user reaches the keys and channels of one pool, by the commands of `COMMANDS` and no others. It runs the scripts that are loaded
already and brings none of its own (no EVAL, no SCRIPT): Lua that never ends would stop Redis for all pools, and most ways out of
Redis that were ever found went through Lua. So the scripts are loaded for it, again whenever Redis has lost them.

Redis checks what a script does against the user who runs it. Two things follow. A worker may do by hand what its scripts do: the
wall stands around the pool, not around each turn in it. The scripts of others (enqueue, reap, follow, acknowledge, signals) fail
at their first command that workers have no use for.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from redis import Redis
from redis.exceptions import ResponseError

from taskqueue import keys
from taskqueue.failures import translated
from taskqueue.scripts import Script, script

WORKER_SCRIPTS = ("claim", "emit", "finish", "heartbeat", "release", "abandon")

BESIDE_SCRIPTS = frozenset({"evalsha", "blpop", "xrange", "zrem", "del", "select"})
"""What a worker's client sends itself: scripts, the bell, logs, its leaving; `select`, for an address with a database's number."""

_CALL = re.compile(r"redis\.p?call\('(\w+)'")


class AccessRefused(Exception):
    """Redis does not let this client make users: give it one that may, or set OPSITE_WORKER_USERS."""


def commands_of(one: Script) -> frozenset[str]:
    """The commands that stand in a script's text."""
    return frozenset(word.lower() for word in _CALL.findall(one.text))


COMMANDS = BESIDE_SCRIPTS.union(*(commands_of(script(name)) for name in WORKER_SCRIPTS))
"""All that a worker may run."""


def rules(pool: str, password: str) -> tuple[str, ...]:
    """A user of one pool, whatever it was before. Redis gets the password's digest only, as it keeps no more itself."""
    digest = hashlib.sha256(password.encode()).hexdigest()
    reach = f"{keys.prefix(pool)}*"
    return (
        "reset", "on", f"#{digest}", f"~{reach}", "resetchannels", f"&{reach}", *(f"+{word}" for word in sorted(COMMANDS)),
    )  # fmt: skip


@contextmanager
def _managing() -> Iterator[None]:
    try:
        with translated():
            yield
    except ResponseError as error:
        raise AccessRefused(f"Redis lets this service make no users for workers: {error}.") from error


class WorkerUsers:
    """Users and scripts of workers. Raises `AccessRefused`, and `QueueUnavailable` when Redis is away."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def load_scripts(self) -> None:
        """Load those of the workers' scripts that Redis does not have: one question, and nothing more while it has them."""
        scripts = [script(name) for name in WORKER_SCRIPTS]
        with _managing():
            there = self._redis.script_exists(*(one.sha for one in scripts))
            for one, known in zip(scripts, there, strict=True):
                if not known:
                    self._redis.script_load(one.text)

    def names(self, start: str) -> set[str]:
        """The users whose names begin so."""
        with _managing():
            users: Any = self._redis.acl_users()
        named = (user.decode() if isinstance(user, bytes) else str(user) for user in users)
        return {user for user in named if user.startswith(start)}

    def allow(self, user: str, *, pool: str, password: str) -> None:
        """Make the user, or make it what it should be; its open connections stay."""
        with _managing():
            self._redis.execute_command("ACL SETUSER", user, *rules(pool, password))  # type: ignore[no-untyped-call]

    def forbid(self, users: Iterable[str]) -> None:
        """Delete users; Redis hangs up on them. One that is gone already is no error."""
        if users := list(users):
            with _managing():
                self._redis.acl_deluser(*users)

    def anyone_may_enter(self) -> bool:
        """Redis asks no password of who gives none: then a worker can leave its user aside."""
        with _managing():
            default: Any = self._redis.acl_getuser("default")
        return default is not None and {"on", "nopass"} <= set(default["flags"])
