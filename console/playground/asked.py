"""What the playground's page sends, as structs; what does not fit is refused by the field's name."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from agents.faces.requests import MessageIn, TaskRequest, convert
from agents.output_forms import OutputIn
from agents.problems import bad_field

SIDES_MAX = 2
MESSAGES_MAX = 200
MADE_IN = {"made_in": "console playground"}
"""What the tenant finds in such a task's metadata. Who it was stands in `Task.submitted_by`, where no application can write."""


class Side(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One agent with what it is told. Without a revision the published one answers, or the one that the split falls on."""

    agent: Annotated[str, Meta(min_length=1)]
    messages: Annotated[list[MessageIn], Meta(min_length=1, max_length=MESSAGES_MAX)]
    revision: Annotated[int, Meta(ge=1)] | None = None

    @property
    def name(self) -> str:
        """As the API takes it: `poet`, or `poet@3`."""
        return self.agent if self.revision is None else f"{self.agent}@{self.revision}"


class Run(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One press of the button. `run` is the page's own name for it, so that a request that is sent twice is run once."""

    tenant: str
    run: Annotated[str, Meta(pattern=r"^[0-9a-zA-Z-]{8,64}$")]
    sides: Annotated[list[Side], Meta(min_length=1, max_length=SIDES_MAX)]
    parameters: dict[str, Any] = {}
    output: OutputIn | UnsetType = UNSET


class Saved(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A test input: messages for an agent, and a check of the answer. `base` is the set that the new one begins with."""

    tenant: str
    agent: str
    name: Annotated[str, Meta(min_length=1, max_length=100)]
    messages: Annotated[list[MessageIn], Meta(min_length=1, max_length=MESSAGES_MAX)]
    base: str | None = None
    checks: dict[str, Any] = {}


def request_of(run: Run, number: int) -> TaskRequest:
    """The task of one side, as an application would ask for it."""
    side = run.sides[number]
    if "@" in side.agent:
        raise bad_field("agent", "is an agent's slug; the revision is chosen beside it")
    asked: dict[str, Any] = {
        "agent": side.name,
        "messages": msgspec.to_builtins(side.messages),
        "parameters": run.parameters,
        "metadata": MADE_IN,
        "idempotency_key": f"playground:{run.run}:{number}",
    }
    if run.output is not UNSET:
        asked["output"] = msgspec.to_builtins(run.output)
    return convert(asked, TaskRequest)
