"""Who asks, and what an agent's name stands for: looked up in Postgres, remembered for less than a second.

So a revoked key is refused within a second, and a burst of requests asks Postgres once.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Generic, NamedTuple, TypeVar

from agents.faces import database
from agents.faces.database import Database
from agents.problems import bad_key, missing_scope
from tenants import keys

REMEMBERED_S = 0.9
ENTRIES_MAX = 10_000
NOTE_USE_EVERY_S = 60.0

V = TypeVar("V")


class Principal(NamedTuple):
    """A valid key's tenant, with what acceptance needs of it."""

    key: uuid.UUID
    tenant: uuid.UUID
    scopes: tuple[str, ...]
    weight: float
    max_waiting: int

    def require(self, scope: str) -> None:
        """Refuse a key that lacks the scope; a key without scopes may do everything."""
        if self.scopes and scope not in self.scopes:
            raise missing_scope(scope)


class AgentRef(NamedTuple):
    """An agent's current revision and its pool."""

    id: uuid.UUID
    slug: str
    revision: uuid.UUID
    number: int
    system_prompt: str
    params: dict[str, Any]
    pool_id: uuid.UUID
    pool: str
    default_params: dict[str, Any]


class Memory(Generic[V]):
    """Values by key, each for `REMEMBERED_S`; one load at a time per key, shared by all who wait for it."""

    def __init__(self) -> None:
        self._values: dict[Hashable, tuple[float, V]] = {}
        self._loading: dict[Hashable, asyncio.Future[V]] = {}

    async def get(self, key: Hashable, load: Callable[[], Awaitable[V]]) -> V:
        """The remembered value, or a fresh one."""
        known = self._values.get(key)
        now = time.monotonic()
        if known is not None and known[0] > now:
            return known[1]
        if (loading := self._loading.get(key)) is None:
            loading = self._loading[key] = asyncio.ensure_future(self._load(key, load))
        return await asyncio.shield(loading)

    async def _load(self, key: Hashable, load: Callable[[], Awaitable[V]]) -> V:
        try:
            asked_at = time.monotonic()
            value = await load()
            if len(self._values) >= ENTRIES_MAX:
                self._values.clear()
            self._values[key] = (asked_at + REMEMBERED_S, value)
            return value
        finally:
            del self._loading[key]


class Directory:
    """Principals and agents."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._principals: Memory[Principal | None] = Memory()
        self._agents: Memory[AgentRef | None] = Memory()
        self._used: dict[uuid.UUID, float] = {}
        self._notes: set[asyncio.Task[None]] = set()

    async def principal(self, authorization: str | None) -> Principal:
        """The key of an `Authorization` header, or 401."""
        secret = keys.from_authorization(authorization)
        if secret is None:
            raise bad_key()
        digest = keys.digest(secret)

        async def load() -> Principal | None:
            row = await self._db.one(database.PRINCIPAL, digest)
            if row is None:
                return None
            return Principal(row["key"], row["tenant"], tuple(row["scopes"]), row["weight"], row["max_waiting"])

        principal = await self._principals.get(digest, load)
        if principal is None:
            raise bad_key()
        self._note_use(principal.key)
        return principal

    async def agent(self, tenant: uuid.UUID, slug: str) -> AgentRef | None:
        """The tenant's agent of that name."""

        async def load() -> AgentRef | None:
            row = await self._db.one(database.AGENT, tenant, slug)
            return None if row is None else AgentRef(**row)

        return await self._agents.get((tenant, slug), load)

    def _note_use(self, key: uuid.UUID) -> None:
        now = time.monotonic()
        if now - self._used.get(key, -NOTE_USE_EVERY_S) >= NOTE_USE_EVERY_S:
            self._used[key] = now
            note = asyncio.ensure_future(self._db.run(database.NOTE_USE, key))
            self._notes.add(note)
            note.add_done_callback(self._notes.discard)
            note.add_done_callback(lambda done: done.cancelled() or done.exception())
