"""One call that this process holds."""

from __future__ import annotations

import uuid
from typing import Any

import msgspec


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
    def is_own(self) -> bool:
        """Whether it names one of the tenant's tools that its agent may call."""
        return self.kind is not None and {"tool": self.name} in self.tools


class Waits:
    """The call waits for somebody else: a person, or another task."""
