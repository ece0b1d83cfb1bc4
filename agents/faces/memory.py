"""A conversation's past where its agent summarises: earlier summaries in their places, and whether a new one is due."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from agents.context_settings import ContextSetting
from agents.faces import database
from agents.faces.asked import Past
from agents.faces.context import Context
from agents.faces.principals import Principal
from agents.summaries import Measured, Plan, plan_of, with_summary


class Memory(NamedTuple):
    """A past as it is sent, and the last answer in it that came from the same pool."""

    past: Past
    measured: Measured | None = None


async def remembered(
    context: Context, principal: Principal, past: Past, setting: ContextSetting | None, *, pool: uuid.UUID
) -> Memory:
    """The past with its latest summary in place of what that stands for; as it is, where the agent does not summarise."""
    if past.conversation is None or setting is None or setting.strategy != "summarise":
        return Memory(past)
    of = (principal.tenant, past.conversation)
    summaries = {str(row["last"]): row["text"] for row in await context.db.all(database.SUMMARIES, *of)}
    messages, ids = with_summary(past.messages, past.ids, summaries)
    measured = _measured(await context.db.one(database.LAST_ANSWER, *of, list(past.ids), pool))
    return Memory(past._replace(messages=messages, ids=ids), measured)


def due(
    memory: Memory, setting: ContextSetting | None, *, asked: Any, said: Sequence[Mapping[str, Any]]
) -> Plan | None:
    """The summary that is to be written before a task is answered. `asked`: its whole input, of which `said` came with it."""
    if memory.past.conversation is None or setting is None or setting.strategy != "summarise":
        return None
    past = memory.past
    before = len(asked) - len(past.messages) - len(said)
    return plan_of(
        past=past.messages, ids=past.ids, before=before, said=said, setting=setting, measured=memory.measured
    )


def _measured(row: database.Row | None) -> Measured | None:
    if row is None:
        return None
    use = row["context_use"] or {}
    return Measured(row["prompt_tokens"], row["completion_tokens"], use.get("limit"), use.get("messages_dropped") or 0)
