"""One leader among all orchestrators of a stack: who holds a Postgres advisory lock on a connection of its own.

The lock lives and dies with the connection, so a leader that is killed is replaced at the standby's next try, and a
leader that loses the connection has lost the lock. `confirm` asks over that very connection, which never reconnects by
itself. The database's address (`opsite.postgres`) says how soon either end notices that the other is gone.
"""

from __future__ import annotations

import hashlib
import logging
from contextlib import suppress
from typing import Any

import psycopg
from django.db import connections

log = logging.getLogger(__name__)


def lock_number(stack: str) -> int:
    """The advisory lock's number (signed 64 bits) of a stack."""
    return int.from_bytes(hashlib.sha256(f"opsite-orchestrator:{stack}".encode()).digest()[:8], "big", signed=True)


class Leadership:
    """The lock, as seen by one orchestrator. `confirm` may be called from any thread: the connection locks itself."""

    def __init__(self, stack: str) -> None:
        self._number = lock_number(stack)
        self._connection: psycopg.Connection[Any] | None = None
        self.leads = False

    def campaign(self) -> bool:
        """Take the lock if nobody has it; False when another leads or Postgres is away."""
        if self.leads:
            return self.confirm()
        connection = self._connection
        try:
            if connection is None or connection.closed:
                connection = self._connection = _connect()
            row = connection.execute("SELECT pg_try_advisory_lock(%s)", [self._number]).fetchone()
            self.leads = bool(row and row[0])
        except psycopg.Error as error:
            log.warning("Postgres is away, so nobody can lead: %s", " ".join(str(error).split()))
            self._drop(connection)
        return self.leads

    def confirm(self) -> bool:
        """Whether the lock is still held: asked of Postgres, over the connection that holds it."""
        connection = self._connection
        if not self.leads or connection is None:
            return False
        try:
            connection.execute("SELECT 1")
        except psycopg.Error as error:
            log.error("the leader's connection is lost, so the lead is: %s", " ".join(str(error).split()))
            self._drop(connection)
            return False
        return self.leads

    def resign(self) -> None:
        """Give the lock back, so that a standby need not wait until Postgres notices the closed connection."""
        if self.leads and self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.execute("SELECT pg_advisory_unlock(%s)", [self._number])
        self._drop(self._connection)

    def _drop(self, connection: psycopg.Connection[Any] | None) -> None:
        """What was won anew meanwhile, over another connection, stays."""
        if connection is self._connection:
            self.leads, self._connection = False, None
        if connection is not None:
            connection.close()


def _connect() -> psycopg.Connection[Any]:
    parameters = connections["default"].get_connection_params()
    for name in ("cursor_factory", "context", "prepare_threshold"):
        parameters.pop(name, None)
    return psycopg.connect(**parameters, autocommit=True)
