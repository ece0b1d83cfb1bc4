"""One call that this process holds."""

from __future__ import annotations

import uuid
from typing import Any

import msgspec

from telemetry.context import Trace, span_id


class ClaimedCall(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `agents_toolcall` with what making it needs; from `kind` on None where it names none of the tenant's."""

    id: uuid.UUID
    tenant: uuid.UUID
    task: uuid.UUID
    call_id: str
    name: str
    arguments: str
    attempts: int
    key: uuid.UUID | None
    submitted_by: str
    priority: int
    trace: str
    pool: str
    agent: str
    tools: list[dict[str, Any]]
    kind: str | None = None
    parameters: dict[str, Any] | None = None
    request: dict[str, Any] | None = None
    remote_name: str | None = None
    timeout_s: float | None = None
    server_url: str | None = None
    server_headers: dict[str, str] | None = None

    @property
    def span(self) -> str:
        """The id of the span that tells of it: what it makes happen elsewhere stands behind that."""
        return span_id("tool", self.id)

    @property
    def about(self) -> dict[str, Any]:
        """What log lines about it name."""
        trace = Trace.parse(self.trace)
        place = None if trace is None else str(trace.behind(self.span))
        return {"task": self.task, "tenant": self.tenant, "trace": place}

    @property
    def is_own(self) -> bool:
        """Whether it names one of the tenant's tools that its agent may call."""
        return self.kind is not None and {"tool": self.name} in self.tools


class Waits:
    """The call waits for somebody else: a person, or another task."""
