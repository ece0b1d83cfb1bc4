"""A conversation moved by hand: the faces' own way in, a worker of the queue's client, the recorder step by step."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import psycopg
import pytest
from asgiref.sync import sync_to_async

from agents.faces.context import Context
from agents.faces.requests import TaskRequest
from agents.faces.submit import submit
from agents.faces.submitted import Submitted
from agents.models import Conversation, Message, Task
from agents.recorder import record_once
from agents.runner.lines import look
from taskqueue.async_client import AsyncQueue
from taskqueue.messages import ClaimedTurn
from tests.faces.conftest import HandWorker, live_scene, start
from tests.scene import Party, Scene

__all__ = ["live_scene", "start"]


def prompt(turn: ClaimedTurn) -> list[str]:
    """What the model is sent: the users' messages as they are, the answers in brackets."""
    return [m.content if m.role == "user" else f"[{m.content}]" for m in turn.body.messages]


@dataclass
class Talk:
    """One conversation of a tenant's."""

    context: Context
    ann: Party
    conversation: Conversation
    worker: HandWorker
    postgres: psycopg.AsyncConnection

    async def ask(self, text: str | None, **more: Any) -> Submitted:
        """Send a message; its task."""
        principal = await self.context.directory.principal(self.ann.headers["Authorization"])
        asked = {"agent": "poet", "conversation": str(self.conversation.pk), **more}
        if text is not None:
            asked["input"] = text
        return await submit(self.context, principal, msgspec.convert(asked, TaskRequest))

    async def answer(self, text: str) -> list[str]:
        """Claim a turn and answer it; what the model was sent."""
        (turn,) = await self.worker.claim()
        await self.worker.end(turn, text)
        await self.settle()
        return prompt(turn)

    async def settle(self) -> None:
        """The recorder and the effects do all that they have to do."""
        await record_once(self.postgres, self.worker.queue)
        await look(self.context)

    async def state(self, task: uuid.UUID) -> str:
        return (await Task.objects.for_tenant(self.ann.tenant).aget(pk=task)).state

    async def messages(self) -> dict[str, Message]:
        """All messages by their text."""
        return {m.content: m async for m in Message.objects.for_tenant(self.ann.tenant).order_by("number")}

    async def branch(self) -> list[str]:
        """The texts from the start to the head."""
        by_number = {m.number: m for m in (await self.messages()).values()}
        await self.conversation.arefresh_from_db()
        texts, at = [], self.conversation.head_number
        while at is not None:
            texts.append(by_number[at].content)
            at = by_number[at].parent_number
        return texts[::-1]


@pytest.fixture
async def worker(live_scene: Scene, redis_url: str) -> AsyncIterator[HandWorker]:
    queue = AsyncQueue(redis_url, live_scene.pool.slug)
    yield HandWorker(queue)
    await queue.aclose()


@pytest.fixture
async def talk(live_scene: Scene, database_url: str, redis_url: str, worker: HandWorker) -> AsyncIterator[Talk]:
    conversation = await sync_to_async(live_scene.ann.conversation)()
    context = await Context.start(database_url=database_url, redis_url=redis_url, body_limit=1 << 20)
    async with await psycopg.AsyncConnection.connect(database_url) as postgres:
        yield Talk(context, live_scene.ann, conversation, worker, postgres)
    await context.close()


Start = Callable[..., Any]
