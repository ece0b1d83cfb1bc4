"""The Responses API by the official client, on a real web process, a real recorder and a simulated worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import openai
import pytest
from openai.types.responses import Response
from redis import Redis

from agents.models import StoredResponse, Task
from gpu_worker.engines.simulated_text import whole_answer
from taskqueue.messages import ChatMessage, SamplingParams, TurnBody
from tests.faces.conftest import HandWorker, Web, until
from tests.gpu_worker.conftest import StartWorker, start_worker
from tests.scene import Scene

__all__ = ["start_worker"]  # a fixture

pytestmark = [pytest.mark.timeout(120), pytest.mark.parametrize("server", ["daphne"], indirect=True)]
ANSWER_TOKENS = 5


@pytest.fixture
def pool(live_scene: Scene) -> str:
    """The worker serves the scene's pool."""
    return live_scene.pool.slug


@pytest.fixture
async def ann(web: Web) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{web.url}/v1", api_key=web.scene.ann.key, max_retries=0) as client:
        yield client


@pytest.fixture
def simulated(start_worker: StartWorker) -> None:
    """Answers of five tokens, at once."""
    start_worker(slots=8, engine_args=f'{{"answer_tokens": {ANSWER_TOKENS}, "step_base_s": 0.001}}')


def said(*messages: tuple[str, str], max_tokens: int = 8) -> str:
    """What the simulated engine answers."""
    body = TurnBody(
        messages=tuple(ChatMessage(role, content) for role, content in messages),
        params=SamplingParams(max_tokens=max_tokens),
    )
    return whole_answer(body, answer_tokens=ANSWER_TOKENS).text


async def recorded(response: Response) -> None:
    """The recorder has brought it to Postgres."""
    task = response.id.removeprefix("resp_")
    async with asyncio.timeout(60):
        while await Task.objects.across_tenants().filter(pk=task, finished_at=None).aexists():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_a_chain_of_responses(
    ann: openai.AsyncOpenAI, web: Web, simulated: None, start: Callable[..., Any]
) -> None:
    """No recorder at first: what was told is true at once, and what continues it has its text."""
    first = await ann.responses.create(
        model="poet", input="Hello", instructions="Be brief.", metadata={"mark": "x"}, temperature=0.5
    )
    answer = said(("system", "Be brief."), ("user", "Hello"))
    assert (first.status, first.output_text, first.object, first.store) == ("completed", answer, "response", True)  # type: ignore[attr-defined]
    assert first.usage is not None
    assert (first.usage.input_tokens, first.usage.output_tokens, first.usage.total_tokens) == (5, 5, 10)
    assert (first.instructions, first.metadata, first.temperature) == ("Be brief.", {"mark": "x"}, 0.5)
    assert await ann.responses.retrieve(first.id) == first

    second = await ann.responses.create(
        model="poet", input=[{"role": "user", "content": "And?"}], previous_response_id=first.id, max_output_tokens=3
    )
    context = [("user", "Hello"), ("assistant", answer), ("user", "And?")]  # instructions are not carried over
    assert second.output_text == said(*context, max_tokens=3)
    assert (second.status, second.previous_response_id, second.max_output_tokens) == ("incomplete", first.id, 3)
    assert second.incomplete_details is not None
    assert second.incomplete_details.reason == "max_output_tokens"

    start("record")
    await recorded(second)
    again = await ann.responses.retrieve(second.id)
    assert again == second
    done = await ann.responses.retrieve(first.id)
    assert done.completed_at is not None
    assert done.model_copy(update={"completed_at": None}) == first

    third = await ann.responses.create(
        model="poet",
        input=[
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "One"}]},
            first.output[0].to_dict(),  # type: ignore[list-item]
            {"role": "developer", "content": "Two"},
        ],
        previous_response_id=second.id,
    )
    context += [("assistant", second.output_text), ("user", "One"), ("assistant", answer), ("system", "Two")]
    assert third.output_text == said(*context)
    items = await ann.responses.input_items.list(third.id, limit=2)
    assert [item.role async for item in items] == ["system", "assistant", "user"]  # type: ignore[union-attr]
    oldest = await ann.responses.input_items.list(third.id, order="asc", limit=1)
    assert (oldest.data[0].content[0].text, oldest.has_more) == ("One", True)  # type: ignore[union-attr]

    await ann.responses.delete(second.id)
    for gone in (ann.responses.retrieve(second.id), ann.responses.delete(second.id)):
        with pytest.raises(openai.NotFoundError):
            await gone
    with pytest.raises(openai.NotFoundError) as refused:
        await ann.responses.create(model="poet", input="x", previous_response_id=second.id)
    assert refused.value.param == "previous_response_id"
    fourth = await ann.responses.create(model="poet", input="x", previous_response_id=third.id)
    assert fourth.output_text == said(*context, ("assistant", third.output_text), ("user", "x"))

    unstored = await ann.responses.create(model="poet", input="Hello", store=False)
    with pytest.raises(openai.NotFoundError):
        await ann.responses.retrieve(unstored.id)
    with pytest.raises(openai.NotFoundError):
        await ann.responses.create(model="poet", input="x", previous_response_id=unstored.id)

    theirs = openai.AsyncOpenAI(base_url=f"{web.url}/v1", api_key=web.scene.bob.key, max_retries=0)
    for of_another in (
        theirs.responses.retrieve(first.id),
        theirs.responses.delete(first.id),
        theirs.responses.cancel(first.id),
        theirs.responses.input_items.list(first.id),
        theirs.responses.create(model="poet", input="x", previous_response_id=first.id),
    ):
        with pytest.raises(openai.NotFoundError):
            await of_another
    await theirs.close()


async def test_a_stream_has_openais_events_in_order(ann: openai.AsyncOpenAI, web: Web, worker: HandWorker) -> None:
    serving = asyncio.create_task(worker.serve(1, "One ", "", 'two "and"\n', "thrée"))
    stream = await ann.responses.create(model="poet", input="Hello", stream=True)
    events = [event async for event in stream]
    await serving
    assert [event.type for event in events] == [
        "response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
        *["response.output_text.delta"] * 3,
        "response.output_text.done", "response.content_part.done", "response.output_item.done", "response.completed",
    ]  # fmt: skip
    assert [event.sequence_number for event in events] == list(range(len(events)))  # type: ignore[union-attr]
    text = 'One two "and"\nthrée'
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == text
    last = events[-1]
    assert last.type == "response.completed"
    assert last.response.output_text == text
    assert await ann.responses.retrieve(last.response.id) == last.response

    serving = asyncio.create_task(worker.serve(1, "x"))
    async with ann.responses.stream(model="poet", input="Hello") as helper:  # the client's own accumulation agrees
        final = await helper.get_final_response()
    await serving
    assert final.output_text == "x"


async def test_in_the_background(
    ann: openai.AsyncOpenAI, web: Web, worker: HandWorker, start: Callable[..., Any], redis: Redis
) -> None:
    begun = await ann.responses.create(model="poet", input="Hello", background=True)
    assert (begun.status, begun.background, begun.output) == ("queued", True, [])
    assert (await ann.responses.retrieve(begun.id)).status == "queued"
    (turn,) = await worker.claim()
    await worker.say(turn, "half")
    assert (await ann.responses.retrieve(begun.id)).status == "in_progress"
    for early in (
        ann.responses.create(model="poet", input="x", previous_response_id=begun.id),
        ann.responses.delete(begun.id),
    ):
        with pytest.raises((openai.BadRequestError, openai.ConflictError)):
            await early
    cancelling = asyncio.create_task(ann.responses.cancel(begun.id))
    async with asyncio.timeout(60):
        while not await worker.queue.emit(worker.name, []):  # noqa: ASYNC110 - another process does it
            await asyncio.sleep(0.02)
    await worker.end(turn, "half", state="cancelled")
    cancelled = await cancelling
    assert (cancelled.status, cancelled.output) == ("cancelled", [])
    assert await ann.responses.cancel(begun.id) == cancelled
    with pytest.raises(openai.BadRequestError, match="cancelled"):
        await ann.responses.create(model="poet", input="x", previous_response_id=begun.id)

    waiting = await ann.responses.create(model="poet", input="Hello", background=True)
    assert (await ann.responses.cancel(waiting.id)).status == "cancelled"
    serving = asyncio.create_task(worker.serve(1, "One ", "two"))
    finished = await ann.responses.create(model="poet", input="Hello")
    await serving
    with pytest.raises(openai.BadRequestError, match="background"):
        await ann.responses.cancel(finished.id)

    # Its log leaves Redis an hour after it was recorded: then its end is told behind whatever the reader has.
    start("record")
    await recorded(finished)
    log = f"opsite:{{{web.scene.pool.slug}}}:log:{finished.id.removeprefix('resp_')}"
    await until(lambda: redis.pttl(log) > 0)
    redis.delete(log)
    whole = [event async for event in await ann.responses.retrieve(finished.id, stream=True)]
    assert [event.sequence_number for event in whole] == list(range(9))  # type: ignore[union-attr]
    end = [event async for event in await ann.responses.retrieve(finished.id, stream=True, starting_after=7)]
    assert [(event.type, event.sequence_number) for event in end] == [  # type: ignore[union-attr]
        ("response.output_text.done", 8), ("response.content_part.done", 9),
        ("response.output_item.done", 10), ("response.completed", 11),
    ]  # fmt: skip
    assert end[0].text == "One two"  # type: ignore[union-attr]


async def test_a_conversation_of_opsites_is_a_context(
    ann: openai.AsyncOpenAI, web: Web, simulated: None, start: Callable[..., Any]
) -> None:
    start("record")
    async with web.client(web.scene.ann.headers) as client:
        conversation = (await client.post("/api/v1/conversations", json={})).json()["id"]
        first = await ann.responses.create(
            model="poet", input="Hello", conversation=conversation, instructions="Be kind."
        )
        assert first.conversation is not None
        assert first.conversation.id == conversation
        await recorded(first)
        second = await ann.responses.create(model="poet", input="And?", conversation={"id": f"conv_{conversation}"})
        assert second.output_text == said(("user", "Hello"), ("assistant", first.output_text), ("user", "And?"))
        await recorded(second)
        messages = (await client.get(f"/api/v1/conversations/{conversation}/messages")).json()["results"]
    assert [message["role"] for message in messages] == ["assistant", "user", "assistant", "user"]


async def test_responses_that_follow_the_same_one(
    ann: openai.AsyncOpenAI, web: Web, simulated: None, start: Callable[..., Any]
) -> None:
    """By `previous_response_id` they are branches; in a conversation the second waits for the first."""
    start("record")
    start("effects")
    root = await ann.responses.create(model="poet", input="Hello")
    left, right = await asyncio.gather(
        *(ann.responses.create(model="poet", input=text, previous_response_id=root.id) for text in ("left", "right"))
    )
    for one, text in ((left, "left"), (right, "right")):
        assert one.output_text == said(("user", "Hello"), ("assistant", root.output_text), ("user", text))

    async with web.client(web.scene.ann.headers) as client:
        conversation = (await client.post("/api/v1/conversations", json={})).json()["id"]
        ask = {"model": "poet", "conversation": conversation}
        first = await ann.responses.create(**ask, input="Hello", background=True)
        told = [event async for event in await ann.responses.create(**ask, input="And?", stream=True)]
        answer = told[-1].response.output_text  # type: ignore[union-attr]
        earlier = (await ann.responses.retrieve(first.id)).output_text
        assert answer == said(("user", "Hello"), ("assistant", earlier), ("user", "And?"))


async def test_what_is_not_served_is_refused_by_name(ann: openai.AsyncOpenAI, web: Web) -> None:
    image = [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]
    for more, name in [
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tools": [{"type": "function", "name": "a b"}]}, "tools[0].name"),
        ({"tools": [{"type": "function", "name": "now"}], "tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "name": "now"}}, "tool_choice"),
        ({"tool_choice": {"type": "function", "name": "now", "strict": True}}, "tool_choice.strict"),
        (
            {"tools": [{"type": "function", "name": "now", "strict": True, "parameters": {"not": {}}}]},
            "tools[0].parameters.not",
        ),
        ({"tools": [{"type": "function", "name": "now"}], "conversation": "x"}, "tools"),
        ({"reasoning": {"effort": "low"}}, "reasoning"),
        ({"include": ["message.output_text.logprobs"]}, "include"),
        ({"truncation": "oldest"}, "truncation"),
        ({"text": {"format": {"type": "grammar"}}}, "text.format.type"),
        ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format.schema"),
        ({"text": {"format": {"type": "json_schema", "name": "x", "schema": {"not": {}}}}}, "text.format.schema.not"),
        ({"text": {"verbosity": "low"}}, "text.verbosity"),
        ({"stream_options": {"include_obfuscation": True}, "stream": True}, "stream_options.include_obfuscation"),
        ({"input": image}, "input[0].content[0].type"),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text"),
        ({"input": [{"type": "function_call_output", "call_id": "x", "output": "y"}]}, "input"),
        ({"input": [{"type": "function_call", "call_id": "x", "name": "now", "arguments": "{}"}]}, "input"),
        ({"input": [{"type": "reasoning"}]}, "input[0].type"),
        ({"input": [{"role": "tool", "content": "x"}]}, "input[0].role"),
        ({"input": []}, "input"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"temperature": 3}, "temperature"),
        ({"background": True, "store": False}, "store"),
        ({"conversation": "x", "previous_response_id": "resp_x"}, "conversation"),
        ({"conversation": "x"}, "conversation"),
        ({"metadata": {"x" * 65: ""}}, "metadata"),
        ({"metadata": {"x": "y" * 513}}, "metadata.x"),
    ]:
        with pytest.raises(openai.BadRequestError) as refused:
            await ann.responses.create(**{"model": "poet", "input": "x", **more})
        assert refused.value.param == name, more
    task = StoredResponse.objects.for_tenant(web.scene.ann.tenant)
    assert not await task.aexists()
    for method in (ann.responses.retrieve, ann.responses.cancel, ann.responses.delete):
        for unknown in ("resp_x", "resp_", web.scene.ann.key):
            with pytest.raises(openai.NotFoundError):
                await method(unknown)  # type: ignore[operator]
