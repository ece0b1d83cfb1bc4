"""A conversation of branches whose agent sums up: what is sent decides, and not what another branch came to."""

from __future__ import annotations

from asgiref.sync import sync_to_async

from agents.conversations import append_message
from agents.models import Turn
from agents.services import create_agent
from tests.conversations.conftest import Talk

CONTEXT = {"strategy": "summarise", "max_tokens": 1000, "keep_last": 1}


async def summarises(talk: Talk, **more: object) -> bool:
    """Whether a message's first turn writes a summary."""
    asked = await talk.ask("next", agent="keeper", **more)
    turn = await Turn.objects.for_tenant(talk.ann.tenant).aget(task=asked.task)
    await talk.answer("done")
    return turn.summarises is not None


async def test_a_short_branch_is_not_summed_up_for_a_long_one(talk: Talk) -> None:
    revision = talk.ann.agent.current_revision
    assert revision is not None
    await sync_to_async(create_agent)(
        tenant=talk.ann.tenant, slug="keeper", name="Keeper", pool=revision.pool, params={"max_tokens": 8}, context=CONTEXT
    )  # fmt: skip
    short = await sync_to_async(append_message)(conversation=talk.conversation, role="user", content="one")
    await talk.ask("two", agent="keeper")
    await talk.answer("2")
    await Turn.objects.for_tenant(talk.ann.tenant).aupdate(prompt_tokens=900)  # as if much had been said
    assert not await summarises(talk, after_message=str(short.pk))
    answer = (await talk.messages())["2"]
    assert await summarises(talk, after_message=str(answer.pk))
