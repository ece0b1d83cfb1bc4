"""Answers that must have a form, by the official client and by REST: a real web process, recorder, and model that babbles."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Literal

import httpx
import openai
import pytest
from asgiref.sync import sync_to_async
from pydantic import BaseModel, Field

from orchestrator.models import Pool
from taskqueue.messages import INVALID_OUTPUT, Finish, OutputForm, TaskError, Usage
from tests.faces.conftest import PATIENCE_S, HandWorker, Web
from tests.faces.test_socket import connect
from tests.gpu_worker.conftest import WorkerProcess
from tests.gpu_worker.test_transformers import MODEL
from tests.scene import Scene

pytestmark = [pytest.mark.timeout(170), pytest.mark.parametrize("server", ["daphne"], indirect=True)]
HELLO: Any = [{"role": "user", "content": "Hello"}]
COLOUR = {
    "type": "json_schema",
    "json_schema": {"name": "colour", "schema": {"enum": ["red", "green"]}, "strict": True},
}


class Person(BaseModel):
    """What the model is made to say of somebody."""

    mood: Literal["glad", "sad"]
    age: int = Field(ge=0, le=120)
    words: list[Literal["rain", "wind"]] = Field(max_length=3)


@pytest.fixture
def guiding(live_scene: Scene) -> None:
    """The pool's engine can guide, before a web process has looked at it."""
    Pool.objects.filter(pk=live_scene.pool.pk).update(engine=Pool.Engine.TRANSFORMERS)


@pytest.fixture
async def ann(guiding: None, web: Web) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{web.url}/v1", api_key=web.scene.ann.key, max_retries=0) as client:
        yield client


@pytest.fixture
def model(live_scene: Scene, redis_url: str, tmp_path: Path) -> Any:
    values = {"redis_url": redis_url, "pool": live_scene.pool.slug, "engine": "transformers", "model": MODEL,
              "worker_id": "w", "slots": 8}  # fmt: skip
    worker = WorkerProcess({f"OPSITE_{name.upper()}": str(value) for name, value in values.items()}, tmp_path / "w.log")
    yield worker
    worker.end()


async def test_the_official_client_is_given_what_it_asked_for(
    ann: openai.AsyncOpenAI, model: WorkerProcess, web: Web, start: Callable[..., subprocess.Popen[bytes]]
) -> None:
    """One stack for all of it: parsed, streamed, as JSON, cut short, and by REST."""
    start("record")
    parsed = await ann.chat.completions.parse(model="poet", messages=HELLO, response_format=Person, max_tokens=200)
    assert isinstance(parsed.choices[0].message.parsed, Person)
    assert parsed.choices[0].finish_reason == "stop"

    async with ann.chat.completions.stream(
        model="poet", messages=HELLO, response_format=Person, max_tokens=200
    ) as stream:
        pieces = [event.delta async for event in stream if event.type == "content.delta"]
        final = await stream.get_final_completion()
    assert final.choices[0].message.parsed == Person.model_validate_json("".join(pieces))

    answer = await ann.chat.completions.create(model="poet", messages=HELLO, response_format=COLOUR)  # type: ignore[call-overload]
    assert json.loads(answer.choices[0].message.content) in ("red", "green")

    with pytest.raises(openai.LengthFinishReasonError):
        await ann.chat.completions.parse(model="poet", messages=HELLO, response_format=Person, max_tokens=3)
    cut = await ann.chat.completions.create(
        model="poet", messages=HELLO, response_format={"type": "json_object"}, max_tokens=1
    )
    assert (cut.choices[0].finish_reason, cut.choices[0].message.content) == ("length", "{")

    await likelihoods(ann)
    async with web.client(web.scene.ann.headers) as client:
        await by_rest(client)


async def likelihoods(ann: openai.AsyncOpenAI) -> None:
    asked: Any = {
        "model": "poet",
        "messages": HELLO,
        "logprobs": True,
        "top_logprobs": 2,
        "temperature": 0,
        "max_tokens": 12,
    }
    whole = (await ann.chat.completions.create(**asked)).choices[0]
    assert whole.logprobs is not None
    told = whole.logprobs.content or []
    assert b"".join(bytes(one.bytes or ()) for one in told).decode() == whole.message.content
    assert all(one.logprob == one.top_logprobs[0].logprob and len(one.top_logprobs) == 2 for one in told)
    offered: Any = [{"type": "function", "function": {"name": "now"}}]
    beside = (await ann.chat.completions.create(**asked, tools=offered)).choices[0]
    assert beside.logprobs == whole.logprobs  # this model's template tells it of no tools
    must = await ann.chat.completions.create(
        **{**asked, "max_tokens": 160}, tools=offered, tool_choice="required", parallel_tool_calls=False
    )
    assert [one.function.to_dict() for one in must.choices[0].message.tool_calls or ()] == [  # type: ignore[union-attr]
        {"name": "now", "arguments": "{}"}
    ]
    streamed = []
    async for chunk in await ann.chat.completions.create(**asked, stream=True):
        if (told_here := chunk.choices[0].logprobs) is not None:
            streamed += told_here.content or []
    assert [one.token for one in streamed] == [one.token for one in told]


async def by_rest(client: httpx.AsyncClient) -> None:
    plate = {"kind": "regex", "regex": "[A-Z]{2}-[0-9]{3}"}
    whole = await ended(client, output=plate, parameters={"max_tokens": 50})
    assert whole["state"] == "succeeded"
    assert re.fullmatch(plate["regex"], whole["output"])
    cut = await ended(client, output=plate, parameters={"max_tokens": 2})
    assert (cut["state"], cut["finish_reason"], cut["error"]["code"]) == ("failed", "length", "invalid_output")
    assert "was cut after 2 tokens" in cut["error"]["message"]
    assert len(cut["output"]) > 0
    own = {"kind": "json_schema", "json_schema": {"enum": ["own"]}}
    agent = (await client.patch("/api/v1/agents/poet", json={"output": own})).json()
    assert agent["current_revision"]["output"] == own
    deadline = time.monotonic() + PATIENCE_S
    while (await ended(client))["output"] != '"own"':  # the agent's own form, once the web process has heard of it
        assert time.monotonic() < deadline
    assert (await ended(client, output=plate, parameters={"max_tokens": 50}))["output"] != '"own"'
    assert (await ended(client, output={"kind": "text"}))["output"] != '"own"'
    assert (await client.patch("/api/v1/agents/poet", json={"output": None})).json()["current_revision"][
        "output"
    ] is None


async def ended(client: httpx.AsyncClient, **asked: Any) -> dict[str, Any]:
    """A task, once it has ended and is recorded."""
    answer = await client.post("/api/v1/tasks", json={"agent": "poet", "input": "Hello", **asked})
    assert answer.status_code == 202, answer.text
    deadline = time.monotonic() + PATIENCE_S
    while True:
        task: dict[str, Any] = (await client.get(answer.headers["location"])).json()
        if task["state"] not in {"queued", "running"}:
            return task
        assert time.monotonic() < deadline, task
        await asyncio.sleep(0.05)


async def test_a_form_reaches_the_queue_as_it_was_given(ann: openai.AsyncOpenAI, worker: HandWorker, web: Web) -> None:
    schema = {"type": "object", "properties": {"zeta": {}, "a": {}, "bb": {}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    asking = asyncio.create_task(ann.chat.completions.create(model="poet", messages=HELLO, response_format=wanted))  # type: ignore[call-overload]
    (turn,) = await worker.claim()
    await worker.end(turn, "{}")
    await asking
    assert turn.body.output == OutputForm("json_schema", schema)
    assert turn.body.output is not None
    assert turn.body.output.json_schema is not None
    assert list(turn.body.output.json_schema["properties"]) == ["zeta", "a", "bb"]
    task = await web.scene.ann.agent.tasks.afirst()
    assert task is not None
    assert json.loads(task.output_form) == {"kind": "json_schema", "json_schema": schema}

    plate = {"kind": "regex", "regex": "[A-Z]+"}
    async with connect(web, web.scene.ann.headers) as socket:
        await socket.send(json.dumps({"type": "submit", "task": {"agent": "poet", "input": "x", "output": plate}}))
        (turn,) = await worker.claim()
        await worker.end(turn, "A")
    assert turn.body.output == OutputForm("regex", None, "[A-Z]+")


async def test_an_answer_that_lost_its_form_is_an_error_with_the_text(
    ann: openai.AsyncOpenAI, worker: HandWorker
) -> None:
    async def serve() -> None:
        (turn,) = await worker.claim()
        await worker.say(turn, "not ", "JSON")
        error = TaskError(INVALID_OUTPUT, "The answer does not have the form that was asked for: it is no JSON.")
        finish = Finish(turn=turn.turn, task=turn.task, attempt=1, seq=turn.seq + 3, state="failed", finish_reason="stop",
                        usage=Usage(3, 2), error=error, text="not JSON")  # fmt: skip
        assert await worker.queue.finish(worker.name, [finish]) == []

    form: Any = {"type": "json_object"}
    serving = asyncio.create_task(serve())
    with pytest.raises(openai.UnprocessableEntityError, match="does not have the form") as failed:
        await ann.chat.completions.create(model="poet", messages=HELLO, response_format=form)
    await serving
    said: Any = failed.value.body
    assert (said["code"], said["output"]) == (INVALID_OUTPUT, "not JSON")

    serving = asyncio.create_task(serve())
    stream = await ann.chat.completions.create(model="poet", messages=HELLO, response_format=form, stream=True)
    read = []
    with pytest.raises(openai.APIError, match="does not have the form") as broken:  # noqa: PT012 - what came before counts
        async for chunk in stream:
            read.append(chunk.choices[0].delta.content)  # noqa: PERF401
    await serving
    assert (broken.value.code, "".join(read)) == (INVALID_OUTPUT, "not JSON")


async def test_what_no_answer_can_be_held_to_is_refused_by_name(ann: openai.AsyncOpenAI) -> None:
    def form(schema: Any, name: str = "x") -> Any:
        return {"type": "json_schema", "json_schema": {"name": name, "schema": schema}}

    for wanted, param in [
        ({"type": "yaml"}, "response_format.type"),
        ({"type": "json_schema"}, "response_format.json_schema"),
        ({"type": "json_object", "json_schema": form({})["json_schema"]}, "response_format.json_schema"),
        (form({}, "two words"), "response_format.json_schema.name"),
        (form({"properties": {"a": {"not": {}}}}), "response_format.json_schema.schema.properties.a.not"),
        (form({"type": "integer", "minimum": "0"}), "response_format.json_schema.schema.minimum"),
    ]:
        with pytest.raises(openai.BadRequestError) as refused:
            await ann.chat.completions.create(model="poet", messages=HELLO, response_format=wanted)
        assert refused.value.param == param
        assert param in str(refused.value)
    for more, param in [
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
    ]:
        with pytest.raises(openai.BadRequestError) as refused:
            await ann.chat.completions.create(model="poet", messages=HELLO, **more)  # type: ignore[call-overload]
        assert refused.value.param == param
    with pytest.raises(openai.BadRequestError, match="ends where the form is complete"):
        await ann.chat.completions.create(
            model="poet", messages=HELLO, response_format={"type": "json_object"}, extra_body={"ignore_eos": True}
        )


async def test_a_pool_that_cannot_guide_is_named(web: Web) -> None:
    plate = {"kind": "regex", "regex": "[A-Z]+"}
    async with web.client(web.scene.ann.headers) as client:
        for path, body in (
            ("/api/v1/tasks", {"agent": "poet", "input": "x", "output": plate}),
            ("/api/v1/agents", {"slug": "plates", "pool": web.scene.pool.slug, "output": plate}),
        ):
            answer = await client.post(path, json=body)
            assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "output.kind")
            assert "runs the engine 'simulated', which can guide by only json_object, json_schema" in answer.text
        asked = {"agent": "poet", "input": "x", "parameters": {"logprobs": 2}}
        answer = await client.post("/api/v1/tasks", json=asked)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "parameters.logprobs")
        assert "runs the engine 'simulated', which gives none" in answer.text
        # A pool may come to run another engine when agents have a form already.
        own = {"slug": "objects", "pool": web.scene.pool.slug, "output": {"kind": "json_object"}}
        assert (await client.post("/api/v1/agents", json=own)).status_code == 201
        await sync_to_async(Pool.objects.filter(pk=web.scene.pool.pk).update)(engine="another")
        deadline = time.monotonic() + PATIENCE_S
        while (
            answer := await client.post("/api/v1/tasks", json={"agent": "objects", "input": "x"})
        ).status_code == 202:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        assert "runs the engine 'another', which can guide by no output form" in answer.text
