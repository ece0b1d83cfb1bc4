"""OpenAI's Python client, unchanged: each endpoint that is served, by the sync and by the async client.

A case is written once, for either client: what the sync one returns is taken as it is, what the async one returns is awaited.
"""

from __future__ import annotations

import asyncio
import base64
import inspect
import json
import struct
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal

import openai
import pytest
from pydantic import BaseModel, Field

from orchestrator.models import Pool
from tests.clients.script import SCRIPT
from tests.clients.service import ROOT, Service

TENANT = "from-python"
(VERSE,) = SCRIPT
HELLO: list[Any] = [{"role": "user", "content": "Hello"}]
WARM: list[Any] = [{"role": "user", "content": "How warm is it in Oslo?"}]
TOOLS: list[Any] = [
    {"type": "function", "function": {"name": "temperature", "parameters": {"type": "object", "properties": {}}}}
]
BABBLE, STUCK, SILENT = "babble", "stuck", "silent"
"""A pool with a real model, small enough for any machine, and one without a worker, in which one task may wait."""
BATCH_ENDED = ("completed", "failed", "expired", "cancelled")
PATIENCE_S = 60.0
pytestmark = pytest.mark.timeout(300)  # whoever comes first waits for the service to start

Case = Callable[[Any], Awaitable[None]]


class Person(BaseModel):
    """What the real model is made to say."""

    mood: Literal["glad", "sad"]
    age: int = Field(ge=0, le=120)


async def got(value: Any) -> Any:
    """What a call of either client returns."""
    return await value if inspect.isawaitable(value) else value


async def all_of(listed: Any) -> list[Any]:
    """Of a stream, or of a list with all its pages."""
    if not hasattr(listed, "__aiter__"):
        listed = await got(listed)
    return [one async for one in listed] if hasattr(listed, "__aiter__") else list(listed)


@asynccontextmanager
async def entered(manager: Any) -> AsyncIterator[Any]:
    if hasattr(manager, "__aenter__"):
        async with manager as inside:
            yield inside
    else:
        with manager as inside:
            yield inside


# -- chat ------------------------------------------------------------------------------------------
async def chat(client: Any) -> None:
    answer = await got(client.chat.completions.create(model="bard", messages=HELLO))
    (choice,) = answer.choices
    assert (choice.message.role, choice.message.content, choice.finish_reason) == ("assistant", VERSE, "stop")
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0


async def chat_streamed(client: Any) -> None:
    chunks = await all_of(
        client.chat.completions.create(
            model="bard", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
    )
    pieces = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
    assert "".join(pieces) == VERSE
    assert len(pieces) > 1
    assert (chunks[-2].choices[0].finish_reason, chunks[-1].choices) == ("stop", [])
    assert chunks[-1].usage.completion_tokens > 0


async def chat_left_in_the_middle(client: Any) -> None:
    stream = await got(
        client.chat.completions.create(
            model="bard", messages=[{"role": "user", "content": "Speak at length."}], stream=True
        )
    )
    heard = await (anext(stream) if hasattr(stream, "__anext__") else got(next(stream)))
    assert heard.choices[0].finish_reason is None
    await got(stream.close())
    await chat(client)


async def tools(client: Any) -> None:
    asked = await got(client.chat.completions.create(model="bard", messages=WARM, tools=TOOLS))
    (choice,) = asked.choices
    (call,) = choice.message.tool_calls
    assert choice.finish_reason == "tool_calls"
    assert (call.function.name, json.loads(call.function.arguments)) == ("temperature", {"city": "Oslo"})
    result = {"role": "tool", "tool_call_id": call.id, "content": "12 degrees"}
    answer = await got(
        client.chat.completions.create(model="bard", messages=[*WARM, choice.message, result], tools=TOOLS)
    )
    assert answer.choices[0].message.content == "In Oslo it is 12 degrees."
    none = await got(client.chat.completions.create(model="bard", messages=WARM, tools=TOOLS, tool_choice="none"))
    assert none.choices[0].message.tool_calls is None


async def tools_streamed(client: Any) -> None:
    chunks = await all_of(client.chat.completions.create(model="bard", messages=WARM, tools=TOOLS, stream=True))
    calls = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or ()]
    assert [call.function.name for call in calls if call.function.name] == ["temperature"]
    assert json.loads("".join(call.function.arguments or "" for call in calls)) == {"city": "Oslo"}
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


async def forms(client: Any) -> None:
    asked = {"model": BABBLE, "messages": HELLO, "max_tokens": 100}
    parsed = await got(client.chat.completions.parse(**asked, response_format=Person))
    assert isinstance(parsed.choices[0].message.parsed, Person)
    colour = {"type": "json_schema", "json_schema": {"name": "colour", "schema": {"enum": ["red", "green"]}}}
    answer = await got(client.chat.completions.create(**asked, response_format=colour))
    assert json.loads(answer.choices[0].message.content) in ("red", "green")
    async with entered(client.chat.completions.stream(**asked, response_format=Person)) as stream:
        await all_of(stream)
        final = await got(stream.get_final_completion())
    assert isinstance(final.choices[0].message.parsed, Person)
    with pytest.raises(openai.LengthFinishReasonError):
        await got(client.chat.completions.parse(**{**asked, "max_tokens": 3}, response_format=Person))


async def sampling(client: Any) -> None:
    asked = {"model": BABBLE, "messages": HELLO, "temperature": 1, "max_completion_tokens": 8}
    two = await got(client.chat.completions.create(**asked, n=2, seed=7))
    assert [choice.index for choice in two.choices] == [0, 1]
    assert {choice.finish_reason for choice in two.choices} <= {"length", "stop"}
    assert two.usage.completion_tokens <= 16
    again = await got(client.chat.completions.create(**asked, seed=7))
    assert again.choices[0].message.content == two.choices[0].message.content
    stopped = await got(client.chat.completions.create(**{**asked, "max_completion_tokens": 64}, stop=["e"]))
    assert (stopped.choices[0].finish_reason, "e" in stopped.choices[0].message.content) == ("stop", False)


async def logprobs(client: Any) -> None:
    asked = {"model": BABBLE, "messages": HELLO, "logprobs": True, "top_logprobs": 2, "max_tokens": 8}
    whole = (await got(client.chat.completions.create(**asked))).choices[0]
    assert "".join(one.token for one in whole.logprobs.content) == whole.message.content
    assert all(one.logprob <= 0 and len(one.top_logprobs) == 2 for one in whole.logprobs.content)
    chunks = await all_of(client.chat.completions.create(**asked, stream=True))
    assert any(chunk.choices[0].logprobs for chunk in chunks)


# -- the rest --------------------------------------------------------------------------------------
async def completions(client: Any) -> None:
    one = await got(client.completions.create(model="verse", prompt="Once upon", echo=True, max_tokens=50))
    assert one.choices[0].text == f"Once upon{VERSE}"
    four = await got(client.completions.create(model="verse", prompt=["Once", "Twice"], n=2, max_tokens=50))
    assert [(choice.index, choice.text) for choice in four.choices] == [(number, VERSE) for number in range(4)]
    chunks = await all_of(client.completions.create(model="verse", prompt="Once", stream=True, max_tokens=50))
    assert "".join(chunk.choices[0].text for chunk in chunks) == VERSE


async def models(client: Any) -> None:
    listed = {model.id: model for model in await all_of(client.models.list())}
    assert {"bard": "opsite:agent", "verse": "opsite:pool"}.items() <= {
        n: m.owned_by for n, m in listed.items()
    }.items()
    for name, model in listed.items():
        assert await got(client.models.retrieve(name)) == model


async def embeddings(client: Any) -> None:
    texts = ["A red stone.", "Deep water."]
    given = await got(client.embeddings.create(model="minilm", input=texts))
    assert [len(one.embedding) for one in given.data] == [64, 64]
    assert given.usage.total_tokens > 0
    as_text = await got(client.embeddings.create(model="minilm", input=texts[0], encoding_format="base64"))
    as_list = await got(client.embeddings.create(model="minilm", input=texts[0], encoding_format="float"))
    packed = base64.b64decode(as_text.data[0].embedding)
    assert list(struct.unpack("<64f", packed)) == pytest.approx(as_list.data[0].embedding, abs=1e-6)


async def responses(client: Any) -> None:
    first = await got(
        client.responses.create(model="bard", input="Hello", instructions="Be brief.", metadata={"a": "b"})
    )
    assert (first.status, first.output_text, first.metadata) == ("completed", VERSE, {"a": "b"})
    second = await got(client.responses.create(model="bard", input=WARM[0]["content"], previous_response_id=first.id))
    assert second.previous_response_id == first.id
    assert (await got(client.responses.retrieve(first.id))).output_text == VERSE
    (item,) = await all_of(client.responses.input_items.list(second.id))
    assert item.content[0].text == WARM[0]["content"]
    await got(client.responses.delete(first.id))
    with pytest.raises(openai.NotFoundError):
        await got(client.responses.retrieve(first.id))


async def responses_streamed(client: Any) -> None:
    events = await all_of(client.responses.create(model="bard", input="Hello", stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == VERSE
    assert events[-1].type == "response.completed"
    rest = await all_of(client.responses.retrieve(events[-1].response.id, stream=True, starting_after=3))
    assert [event.sequence_number for event in rest] == list(range(4, len(events)))
    async with entered(client.responses.stream(model="bard", input="Hello")) as stream:
        await all_of(stream)
        assert (await got(stream.get_final_response())).output_text == VERSE


async def responses_in_the_background(client: Any) -> None:
    # Who was refused for the pool is refused for a second more, whoever of the tenant asks: the client waits as it was told.
    patient = client.with_options(max_retries=5)
    waiting = await got(patient.responses.create(model=STUCK, input="Hello", background=True))
    assert (waiting.status, waiting.background) == ("queued", True)
    with pytest.raises(openai.ConflictError):
        await got(client.responses.delete(waiting.id))
    with pytest.raises(openai.InternalServerError) as full:
        await got(client.responses.create(model=STUCK, input="Hello", background=True))
    assert (full.value.status_code, full.value.code) == (503, "pool_busy")
    assert (await got(client.responses.cancel(waiting.id))).status == "cancelled"


async def files_and_batches(client: Any) -> None:
    body = {"model": "bard", "messages": HELLO}
    lines = [
        {"custom_id": "good", "method": "POST", "url": "/v1/chat/completions", "body": body},
        {"custom_id": "bad", "method": "POST", "url": "/v1/chat/completions", "body": {**body, "model": "nobody"}},
    ]
    data = "".join(json.dumps(line) + "\n" for line in lines).encode()
    file = await got(client.files.create(file=("lines.jsonl", data), purpose="batch"))
    assert (await got(client.files.retrieve(file.id))) == file
    assert (await got(client.files.content(file.id))).content == data
    assert file.id in [one.id for one in await all_of(client.files.list(purpose="batch"))]
    asked = {"input_file_id": file.id, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    batch, left = [await got(client.batches.create(**asked)) for _ in range(2)]
    assert (await got(client.batches.cancel(left.id))).status in ("cancelling", "cancelled")
    batch, left = [await _ended(client, one.id) for one in (batch, left)]
    assert (batch.status, left.status) == ("completed", "cancelled")
    assert (batch.request_counts.completed, batch.request_counts.failed) == (1, 1)
    assert {batch.id, left.id} <= {one.id for one in await all_of(client.batches.list())}
    (line,) = (await got(client.files.content(batch.output_file_id))).text.splitlines()
    assert json.loads(line)["response"]["body"]["choices"][0]["message"]["content"] == VERSE
    (line,) = (await got(client.files.content(batch.error_file_id))).text.splitlines()
    assert json.loads(line)["response"]["status_code"] == 404
    assert (await got(client.files.delete(file.id))).deleted


async def _ended(client: Any, batch: str) -> Any:
    async with asyncio.timeout(PATIENCE_S):
        while (now := await got(client.batches.retrieve(batch))).status not in BATCH_ENDED:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return now


CASES: list[Case] = [
    chat, chat_streamed, chat_left_in_the_middle, tools, tools_streamed, forms, sampling, logprobs, completions, models,
    embeddings, responses, responses_streamed, responses_in_the_background, files_and_batches,
]  # fmt: skip


@pytest.fixture(scope="module")
def key(service: Service) -> str:
    """A key of the tenant of these tests, with its pools."""
    model = str(ROOT / "models" / "opsite-verse")
    key = service.key_of(TENANT)
    service.pool(BABBLE, tenant=TENANT, engine=Pool.Engine.TRANSFORMERS, model=model)
    service.worker(BABBLE, "transformers", {"threads": 1}, model=model)
    service.pool(STUCK, tenant=TENANT, max_waiting=1)
    service.pool(SILENT, tenant=TENANT)
    return key


@pytest.fixture(params=[openai.OpenAI, openai.AsyncOpenAI], ids=["sync", "async"])
async def client(request: pytest.FixtureRequest, service: Service, key: str) -> AsyncIterator[Any]:
    where = {"base_url": f"{service.url}/v1", "api_key": key, "max_retries": 0, "timeout": PATIENCE_S}
    async with entered(request.param(**where)) as client:
        yield client


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_each_endpoint(case: Case, client: Any) -> None:
    await case(client)


@pytest.fixture(scope="module")
def keys(service: Service, key: str) -> dict[str, str]:
    """Keys that are refused, by why."""
    return {
        "unknown": f"ops_{uuid.uuid4().hex}",
        "reader": service.further_key_of(TENANT, scopes=["tasks:read"]),
        "full": service.full_line(TENANT)[1],
    }


@pytest.mark.parametrize(
    ("as_class", "who", "more"),
    [
        (openai.BadRequestError, None, {"temperature": 9}),
        (openai.AuthenticationError, "unknown", {}),
        (openai.PermissionDeniedError, "reader", {}),
        (openai.NotFoundError, None, {"model": "nobody"}),
        (openai.RateLimitError, "full", {"model": f"line-{TENANT}"}),
        (openai.APITimeoutError, None, {"model": SILENT, "timeout": 0.5, "extra_body": {"cancel_on_disconnect": True}}),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_each_refusal_raises_the_class_that_fits(
    as_class: type[openai.APIError],
    who: str | None,
    more: dict[str, Any],
    stream: bool,
    client: Any,
    keys: dict[str, str],
) -> None:
    asking = client if who is None else client.with_options(api_key=keys[who])
    with pytest.raises(as_class) as refused:
        await all_of(asking.chat.completions.create(**{"model": "bard", "messages": HELLO, "stream": stream, **more}))
    assert type(refused.value) is as_class
