"""Who asks, and what an agent's name stands for: looked up in Postgres, and remembered.

Postgres tells when a key, a tenant, an agent or a pool changes (`LISTEN opsite_directory`; triggers speak); then all is forgotten.
While nobody listens (the connection is lost) things are remembered for less than a second. Either way a revoked key is refused
within a second, and a burst of requests asks Postgres once.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Hashable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Generic, NamedTuple, TypeVar

import psycopg

from agents.faces import database
from agents.faces.database import Database
from agents.limits import Limits
from agents.problems import Problem, bad_key, missing_scope, tenant_inactive
from agents.tools.chosen import specs, tool_names
from agents.traffic import bucket, chosen
from taskqueue.messages import ToolSpec
from telemetry import logs
from tenants import keys

log = logging.getLogger(__name__)

REMEMBERED_S = 0.9
REMEMBERED_WHILE_LISTENING_S = 60.0
LISTEN_AGAIN_S = 1.0
CHANNEL = "opsite_directory"
ENTRIES_MAX = 10_000
NOTE_USE_EVERY_S = 60.0
_PINNED = re.compile(r"(?P<slug>[-\w]+)@(?P<number>[1-9]\d{0,8})", re.ASCII)

V = TypeVar("V")


class Principal(NamedTuple):
    """A valid key's tenant, with what acceptance needs of it.

    `key` is None where a member of staff asks from the console, in the tenant's name: then `submitted_by` is who.
    """

    key: uuid.UUID | None
    tenant: uuid.UUID
    scopes: tuple[str, ...]
    weight: float
    max_waiting: int
    max_running: int
    key_max_waiting: int
    key_max_running: int
    cancel_on_disconnect: bool
    expires_at: datetime | None
    limits: Limits
    key_limits: Limits
    budget_spent_until: datetime | None
    key_budget_spent_until: datetime | None
    submitted_by: str = ""

    def require(self, scope: str) -> None:
        """Refuse a key that lacks the scope; a key without scopes may do everything."""
        if self.scopes and scope not in self.scopes:
            raise missing_scope(scope)


class AgentRef(NamedTuple):
    """A revision of an agent and its pool. `answer_tokens`: the mean length of its answers, None if none was measured.

    `tools` are those that it calls by itself. `percent` of the agent's new tasks get this revision, and `shares` are the revisions
    that share them (itself included) where there are several. `is_pinned`: the caller named this very revision. `max_cost` is what
    a task may cost (None: no limit) by `token_prices`, the pool's as `agents.money` reads them.
    """

    id: uuid.UUID
    slug: str
    revision: uuid.UUID
    number: int
    system_prompt: str
    params: dict[str, Any]
    tools: tuple[ToolSpec, ...]
    output_form: str
    context: dict[str, Any]
    pool_id: uuid.UUID
    pool: str
    engine: str
    default_params: dict[str, Any]
    pool_max_waiting: int
    answer_tokens: float | None
    token_prices: list[dict[str, Any]]
    max_cost: Decimal | None
    percent: int
    shares: tuple[AgentRef, ...] = ()
    is_pinned: bool = False

    @property
    def name(self) -> str:
        """As a caller may name it."""
        return f"{self.slug}@{self.number}" if self.is_pinned else self.slug

    def serving(self, *, key: str, kept: uuid.UUID | None = None) -> AgentRef:
        """The revision that a new task gets: `kept` where that still has a share, else by a hash of `key`."""
        if not self.shares:
            return self
        for share in self.shares:
            if share.revision == kept:
                return share
        return self.shares[chosen([share.percent for share in self.shares], bucket(str(self.id), key))]


class Memory(Generic[V]):
    """Values by key, each for `REMEMBERED_S`; one load at a time per key, shared by all who wait for it."""

    def __init__(self) -> None:
        self.remembered_s = REMEMBERED_S
        self._values: dict[Hashable, tuple[float, V]] = {}
        self._loading: dict[Hashable, asyncio.Future[V]] = {}
        self._forgotten = 0

    def forget(self) -> None:
        """Load everything anew; a load that is under way is not remembered."""
        self._values.clear()
        self._forgotten += 1

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
            asked_at, forgotten = time.monotonic(), self._forgotten
            value = await load()
            if len(self._values) >= ENTRIES_MAX:
                self._values.clear()
            if forgotten == self._forgotten:
                self._values[key] = (asked_at + self.remembered_s, value)
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
        self._listening: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to listen for changes."""
        self._listening = asyncio.create_task(self._listen(), name="directory changes")

    async def close(self) -> None:
        """Stop listening."""
        while self._listening is not None and not self._listening.done():
            self._listening.cancel()
            await asyncio.wait((self._listening,), timeout=0.1)

    async def _listen(self) -> None:
        while True:
            try:
                async with await self._db.connect() as connection:
                    await connection.execute(f"LISTEN {CHANNEL}")
                    self._remember(REMEMBERED_WHILE_LISTENING_S)
                    async for _ in connection.notifies():
                        self._remember(REMEMBERED_WHILE_LISTENING_S)
            except (psycopg.OperationalError, Problem) as error:
                log.warning("changes of keys and agents are not heard of: %s", error)
            finally:
                self._remember(REMEMBERED_S)
            await asyncio.sleep(LISTEN_AGAIN_S)

    def _remember(self, remembered_s: float) -> None:
        """Forget all, and remember what comes for so long."""
        for memory in (self._principals, self._agents):
            memory.remembered_s = remembered_s
            memory.forget()

    async def principal(self, authorization: str | None) -> Principal:
        """The key of an `Authorization` header, or 401."""
        secret = keys.from_authorization(authorization)
        if secret is None:
            raise bad_key()
        principal = await self._principal(database.PRINCIPAL, keys.digest(secret))
        if principal.key is not None:
            self._note_use(principal.key)
        logs.note(tenant=principal.tenant)
        return principal

    async def principal_of(self, key: uuid.UUID) -> Principal:
        """Who goes on in the name of a key that asked earlier (a batch, a timetable); 401 if it may not ask any more."""
        return await self._principal(database.PRINCIPAL_OF_KEY, key)

    async def principal_of_staff(self, tenant: uuid.UUID, member: str) -> Principal:
        """A member of staff in a tenant's name: the tenant's limits and budgets hold. 409 if the tenant is inactive."""
        try:
            principal = await self._principal(database.PRINCIPAL_OF_TENANT, tenant)
        except Problem as problem:
            if problem.status != 401:
                raise
            raise tenant_inactive() from problem
        return principal._replace(submitted_by=member)

    async def principal_behind(
        self, *, key: uuid.UUID | None, tenant: uuid.UUID, submitted_by: str
    ) -> Principal | None:
        """In whose name a task goes on: its key's, or that of the staff who submitted it; None where its key is gone."""
        if key is not None:
            return await self.principal_of(key)
        return await self.principal_of_staff(tenant, submitted_by) if submitted_by else None

    async def _principal(self, statement: str, by: str | uuid.UUID) -> Principal:
        async def load() -> Principal | None:
            row = await self._db.one(statement, by)
            if row is None:
                return None
            shaped = {"scopes": tuple(row["scopes"])}
            shaped |= {name: Limits(*row[name]) for name in ("limits", "key_limits")}
            return Principal(**{**row, **shaped})

        principal = await self._principals.get(by, load)
        if principal is None or (principal.expires_at and principal.expires_at <= datetime.now(UTC)):
            raise bad_key()
        return principal

    async def agent(self, tenant: uuid.UUID, name: str) -> AgentRef | None:
        """The tenant's agent of that name: a slug, or `slug@3` for its third revision, published or not."""

        async def load() -> AgentRef | None:
            if "@" not in name:
                found = await self._db.all(database.AGENT, tenant, name)
            elif pinned := _PINNED.fullmatch(name):
                found = await self._db.all(database.AGENT_REVISION, tenant, pinned["slug"], int(pinned["number"]))
            else:
                return None
            refs = [await self._ref(tenant, row, is_pinned="@" in name) for row in found]
            most = max(refs, key=lambda ref: (ref.percent, ref.number), default=None)
            return most if most is None or len(refs) == 1 else most._replace(shares=tuple(refs))

        return await self._agents.get((tenant, name), load)

    async def _ref(self, tenant: uuid.UUID, row: database.Row, *, is_pinned: bool) -> AgentRef:
        rows = await self._db.all(database.TOOLS, tenant, tool_names(row["tools"])) if row["tools"] else []
        own = {tool["name"]: ToolSpec(**tool) for tool in rows}
        return AgentRef(**{**row, "tools": specs(row["tools"], own)}, is_pinned=is_pinned)

    def _note_use(self, key: uuid.UUID) -> None:
        now = time.monotonic()
        if now - self._used.get(key, -NOTE_USE_EVERY_S) >= NOTE_USE_EVERY_S:
            self._used[key] = now
            note = asyncio.ensure_future(self._db.run(database.NOTE_USE, key))
            self._notes.add(note)
            note.add_done_callback(self._notes.discard)
            note.add_done_callback(lambda done: done.cancelled() or done.exception())
