"""Legacy completions and several choices, by the official client on a real web process."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from asgiref.sync import sync_to_async

from agents.faces.openai.completion_request import MAX_TOKENS
from agents.models import Task
from agents.services import create_agent
from agents.submissions import body_of
from taskqueue.messages import Finish, TaskError, TurnBody
from tests.faces.conftest import HandWorker, Web
from tests.scene import Party

pytestmark = [pytest.mark.timeout(90), pytest.mark.parametrize("server", ["daphne"], indirect=True)]
HELLO: list[Any] = [{"role": "user", "content": "Hello"}]


@pytest.fixture
async def ann(web: Web) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{web.url}/v1", api_key=web.scene.ann.key, max_retries=0) as client:
        yield client


async def answer_each(worker: HandWorker, count: int, *, heard: asyncio.Event | None = None) -> list[TurnBody]:
    """Answer `count` turns at once, in turn; the second word of each comes when `heard` is set."""
    turns = await worker.claim(count)
    for turn in turns:
        await worker.say(turn, "one ")
    if heard is not None:
        await heard.wait()
    for turn in turns:
        await worker.say(turn, "two")
    for turn in turns:
        await worker.end(turn, "one two")
    return [turn.body for turn in turns]


async def test_a_plain_prompt_whole_and_streamed(ann: openai.AsyncOpenAI, web: Web, worker: HandWorker) -> None:
    serving = asyncio.create_task(answer_each(worker, 1))
    whole = await ann.completions.create(model=web.scene.pool.slug, prompt="Once upon", echo=True, stop=["END"], seed=3)
    (body,) = await serving
    assert (body.prompt, body.messages) == ("Once upon", ())
    assert (body.params.max_tokens, body.params.stop, body.params.seed) == (MAX_TOKENS, ("END",), 3)
    assert (whole.object, whole.choices[0].text, whole.choices[0].finish_reason) == (
        "text_completion", "Once uponone two", "stop",
    )  # fmt: skip
    assert whole.usage is not None
    assert whole.usage.total_tokens == 5

    serving = asyncio.create_task(answer_each(worker, 1))
    stream = await ann.completions.create(
        model="poet", prompt="Once", stream=True, max_tokens=5, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    (body,) = await serving
    assert (body.prompt, body.params.max_tokens) == ("Once", 5)
    assert [chunk.choices[0].text for chunk in chunks if chunk.choices] == ["one ", "two", ""]
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices] == [None, None, "stop"]
    assert chunks[-1].usage is not None
    assert len({chunk.id for chunk in chunks}) == 1


async def test_a_stored_prompt_makes_the_same_body(ann: openai.AsyncOpenAI, web: Web, worker: HandWorker) -> None:
    """What the sweep enqueues again is what was enqueued."""
    serving = asyncio.create_task(answer_each(worker, 1))
    await ann.completions.create(model="poet", prompt="Once", temperature=0.5)
    (body,) = await serving
    row = await Task.objects.for_tenant(web.scene.ann.tenant).aget()
    assert row.input == "Once"
    assert body_of(row.input, row.params) == body


async def test_prompts_and_choices_are_numbered_together(ann: openai.AsyncOpenAI, worker: HandWorker) -> None:
    serving = asyncio.create_task(answer_each(worker, 4))
    whole = await ann.completions.create(model="poet", prompt=["A", "B"], n=2, echo=True, seed=7)
    bodies = await serving
    assert [choice.text for choice in whole.choices] == ["Aone two", "Aone two", "Bone two", "Bone two"]
    assert [choice.index for choice in whole.choices] == [0, 1, 2, 3]
    assert sorted((body.prompt, body.params.seed) for body in bodies) == [("A", 7), ("A", 8), ("B", 7), ("B", 8)]
    assert whole.usage is not None
    assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (12, 8)

    heard = asyncio.Event()
    serving = asyncio.create_task(answer_each(worker, 3, heard=heard))
    stream = await ann.chat.completions.create(
        model="poet", messages=HELLO, n=3, stream=True, stream_options={"include_usage": True}
    )
    chunks = []
    async for chunk in stream:
        chunks.append(chunk)
        if sum(bool(choice.delta.content) for one in chunks for choice in one.choices) == 3:
            heard.set()  # a first word of each: they come as they are made, not one choice after the other
    assert [body.params.seed for body in await serving] == [None, None, None]
    told = [
        (choice.index, choice.delta.content) for chunk in chunks for choice in chunk.choices if choice.delta.content
    ]
    for index in range(3):
        assert [text for at, text in told if at == index] == ["one ", "two"]
    assert sorted(at for at, _ in told[:3]) == [0, 1, 2]
    assert len([chunk for chunk in chunks if chunk.choices and chunk.choices[0].finish_reason]) == 3
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 15


async def test_all_choices_are_accepted_or_none(ann: openai.AsyncOpenAI, web: Web, worker: HandWorker) -> None:
    """The tenant may have twenty waiting."""
    party = web.scene.ann
    waiting = [asyncio.create_task(ann.chat.completions.create(model="poet", messages=HELLO, n=8)) for _ in range(2)]
    await tasks_of(party, 16)
    with pytest.raises(openai.RateLimitError) as refused:
        await ann.chat.completions.create(model="poet", messages=HELLO, n=8)
    assert refused.value.code == "too_many_waiting"
    assert await Task.objects.for_tenant(party.tenant).acount() == 16
    assert (await worker.queue.signals()).waiting == 16
    turns = await worker.claim(16)
    for turn in turns:
        await worker.end(turn, "x")
    assert [len((await one).choices) for one in waiting] == [8, 8]


async def tasks_of(party: Party, count: int) -> None:
    async with asyncio.timeout(60):
        while await Task.objects.for_tenant(party.tenant).acount() < count:  # noqa: ASYNC110 - another process does it
            await asyncio.sleep(0.02)


async def test_a_repeat_by_its_key_is_the_same_choices(ann: openai.AsyncOpenAI, web: Web, worker: HandWorker) -> None:
    again = {"Idempotency-Key": "again"}
    serving = asyncio.create_task(answer_each(worker, 2))
    first = await ann.chat.completions.create(model="poet", messages=HELLO, n=2, extra_headers=again)
    await serving
    repeat = await ann.chat.completions.create(model="poet", messages=HELLO, n=2, extra_headers=again)
    assert (repeat.id, repeat.choices, repeat.usage) == (first.id, first.choices, first.usage)
    for n in (1, 3):
        with pytest.raises(openai.UnprocessableEntityError):
            await ann.chat.completions.create(model="poet", messages=HELLO, n=n, extra_headers=again)
    assert await Task.objects.for_tenant(web.scene.ann.tenant).acount() == 2
    # The log leaves Redis an hour after it was recorded; the key holds for a day.
    tasks = [str(task.pk) async for task in Task.objects.for_tenant(web.scene.ann.tenant)]
    await worker.queue.link.ask("DEL", *(f"opsite:{{{web.scene.pool.slug}}}:log:{task}" for task in tasks))
    await Task.objects.for_tenant(web.scene.ann.tenant).aupdate(
        state="succeeded", output="kept", finish_reason="stop", finished_at="2026-01-01T00:00:00Z"
    )
    kept = await ann.chat.completions.create(model="poet", messages=HELLO, n=2, extra_headers=again)
    assert [choice.message.content for choice in kept.choices] == ["kept", "kept"]


async def test_one_client_that_leaves_ends_all_its_choices(ann: openai.AsyncOpenAI, worker: HandWorker) -> None:
    for stream in (True, False):
        asking = asyncio.create_task(
            ann.completions.create(  # type: ignore[call-overload]
                model="poet", prompt="x", n=3, stream=stream, extra_body={"cancel_on_disconnect": True}
            )
        )
        await worker.claim(3)
        if stream:
            await (await asking).close()
        else:
            asking.cancel()
        stopped: set[str] = set()
        async with asyncio.timeout(60):
            while len(stopped) < 3:
                stopped |= {
                    stop.turn for stop in await worker.queue.emit(worker.name, []) if stop.reason == "cancelled"
                }
                await asyncio.sleep(0.02)
        await worker.queue.abandon(worker.name)


async def test_a_choice_that_fails_fails_the_call(ann: openai.AsyncOpenAI, worker: HandWorker) -> None:
    asking = asyncio.create_task(ann.completions.create(model="poet", prompt="x", n=2))
    first, second = await worker.claim(2)
    error = TaskError("context_length_exceeded", "The prompt is too long.")
    finish = Finish(
        turn=first.turn, task=first.task, attempt=first.attempt, seq=first.seq + 1, state="failed", error=error
    )
    await worker.queue.finish(worker.name, [finish])
    with pytest.raises(openai.BadRequestError, match="too long"):
        await asking
    async with asyncio.timeout(60):
        while not (stops := await worker.queue.emit(worker.name, [])):  # noqa: ASYNC110 - another process does it
            await asyncio.sleep(0.02)
    assert [(stop.turn, stop.reason) for stop in stops] == [(second.turn, "cancelled")]


async def test_what_is_not_served_is_refused_by_name(ann: openai.AsyncOpenAI, web: Web) -> None:
    for more, name in [
        ({"suffix": "the end"}, "suffix"),
        ({"best_of": 2}, "best_of"),
        ({"logit_bias": {"1": 1}}, "logit_bias"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"prompt": [[1, 2]]}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"n": 9}, "n"),
        ({"n": 0}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"top_p": 2}, "top_p"),
    ]:
        with pytest.raises(openai.BadRequestError) as refused:
            await ann.completions.create(**{"model": "poet", "prompt": "x", **more})
        assert refused.value.param == name, more
    slug = f"strict-{uuid.uuid4().hex[:6]}"
    await sync_to_async(create_agent)(
        tenant=web.scene.ann.tenant, slug=slug, name="x", pool=web.scene.pool, system_prompt="Be kind."
    )
    with pytest.raises(openai.BadRequestError, match="system prompt"):
        await ann.completions.create(model=slug, prompt="x")
    assert not await Task.objects.for_tenant(web.scene.ann.tenant).aexists()
