"""Who starts and stops the embedded servers: the first process of a data folder owns them, the others attach."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO, NamedTuple

from opsite.embedded.postgres import EmbeddedPostgres
from opsite.embedded.redis import EmbeddedRedis


class Addresses(NamedTuple):
    """Where the servers are, in the form of the settings."""

    database_url: str
    redis_url: str


class EmbeddedStack:
    """Postgres and Redis under one folder. Servers left by an owner that was killed are taken over, not doubled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._postgres = EmbeddedPostgres(self.folder / "postgres")
        self._redis = EmbeddedRedis(self.folder / "redis")
        self._lock: IO[str] | None = None

    @property
    def owned(self) -> bool:
        """Whether this process must stop the servers."""
        return self._lock is not None

    def start(self) -> Addresses:
        """Start the servers, or attach to the owner's."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = (self.folder / "owner.lock").open("a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            self._lock = lock
            self._postgres.forget_unfinished()
        except BlockingIOError:
            lock.close()
        return Addresses(self._postgres.start(), self._redis.start())

    def tend(self) -> list[str]:
        """Start again what this process owns and what has died (killed, out of memory); returns the names of those."""
        if self._lock is None:
            return []
        return [name for name, server in (("redis", self._redis), ("postgres", self._postgres)) if server.tend()]

    def stop(self) -> None:
        """Stop what this process owns."""
        if self._lock is not None:
            self._redis.stop()
            self._postgres.stop()
            self._lock.close()
            self._lock = None
