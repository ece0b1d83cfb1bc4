"""The idempotency keys of a call's tasks. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from agents.faces.as_response import AsResponse
from agents.faces.requests import TaskRequest
from agents.problems import bad_field

IDEMPOTENCY_KEY_MAX = 255


class Idempotency(NamedTuple):
    """A task's own key, and the digest of the whole call; None and empty where the call has no key."""

    key: str | None
    digest: str


def idempotency(
    requests: Sequence[TaskRequest], response: AsResponse | None = None, *, agent: str
) -> list[Idempotency]:
    """The first task of a call has the call's key, each further one a key that is made of it. `agent`: as it was asked for."""
    key = requests[0].idempotency_key
    if key is None:
        return [Idempotency(None, "")] * len(requests)
    if not 0 < len(key) <= IDEMPOTENCY_KEY_MAX:
        raise bad_field("idempotency_key", f"must have 1 to {IDEMPOTENCY_KEY_MAX} characters")
    call: list[Any] = [msgspec.structs.replace(request, agent=agent, idempotency_key=None) for request in requests]
    if response is not None:
        call.append(response.asked)
    body = msgspec.json.encode(call if len(call) > 1 else call[0], order="sorted")
    digest, made = hashlib.sha256(body).hexdigest(), hashlib.sha256(key.encode()).hexdigest()
    return [Idempotency(key, digest), *(Idempotency(f"{made}-{number}", digest) for number in range(1, len(requests)))]
