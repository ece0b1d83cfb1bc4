"""Each endpoint's lines by the official clients: read and answered as by the endpoint itself, whole or not at all."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import openai
import pytest
from asgiref.sync import sync_to_async
from openai.types import Completion, CreateEmbeddingResponse
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from agents.models import Task
from agents.services import change_agent
from batches.models import FurtherTask, Line
from orchestrator.models import Pool
from taskqueue.messages import ClaimedTurn, Delta, Finish, TokenLogprob, ToolCall, Usage
from taskqueue.vectors import encoded
from tests.batches.conftest import ENDED, Service, begin, counts, ended, jsonl, lines_of, until
from tests.faces.conftest import PATIENCE_S

pytestmark = pytest.mark.timeout(120)
CHAT, TEXT, EMBED, RESPOND = "/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses"
ASKED: dict[str, dict[str, Any]] = {
    CHAT: {"messages": [{"role": "user", "content": "Hello"}]},
    TEXT: {"prompt": "Hello"},
    EMBED: {"input": "Hello"},
    RESPOND: {"input": "Hello"},
}


def line(endpoint: str, name: str, **more: Any) -> dict[str, Any]:
    return {
        "custom_id": name,
        "method": "POST",
        "url": endpoint,
        "body": {"model": "poet", **ASKED[endpoint], **more},
    }


async def answer(service: Service, count: int, say: Callable[[ClaimedTurn], str] = lambda turn: "Hi.") -> None:
    for _ in range(count):
        (turn,) = await service.worker.claim()
        if turn.body.embed:
            await service.worker.end(turn, encoded([[float(len(text)), 0.5] for text in turn.body.embed]))
        else:
            await service.worker.end(turn, say(turn))


def by_the_plain_client(url: str, key: str, endpoint: str) -> dict[str, Any]:
    """From file to answer; the body of the one line's answer."""
    with openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0) as client:
        file = client.files.create(file=("x.jsonl", jsonl(line(endpoint, "one"))), purpose="batch")
        batch = client.batches.create(input_file_id=file.id, endpoint=endpoint, completion_window="24h")  # type: ignore[arg-type]
        assert batch.endpoint == endpoint
        deadline = time.monotonic() + PATIENCE_S
        while batch.status not in ENDED:
            assert time.monotonic() < deadline, batch
            time.sleep(0.05)
            batch = client.batches.retrieve(batch.id)
        assert (batch.status, counts(batch)) == ("completed", (1, 1, 0))
        row = json.loads(client.files.content(batch.output_file_id or "").text)
        body: dict[str, Any] = row["response"]["body"]
        return body


async def test_by_the_client_that_is_not_async(service: Service) -> None:
    service.run()
    forms: dict[str, Any] = {CHAT: ChatCompletion, TEXT: Completion, EMBED: CreateEmbeddingResponse, RESPOND: Response}
    for endpoint, form in forms.items():
        calling = asyncio.to_thread(by_the_plain_client, service.url, service.scene.ann.key, endpoint)
        body, _ = await asyncio.gather(calling, answer(service, 1))
        assert form.model_validate(body).model == "poet"
        assert body["usage"]["total_tokens"] == (3 if endpoint == EMBED else 5)


async def test_completions(service: Service, ann: openai.AsyncOpenAI) -> None:
    lines = [
        line(TEXT, "many", prompt=["a", "b"], n=2, echo=True, seed=7, max_tokens=3),
        line(TEXT, "tokens", prompt=[1, 2]),
        line(TEXT, "range", temperature=9),
    ]
    batch = await begin(ann, jsonl(*lines), endpoint=TEXT)
    service.run()
    await answer(service, 4, lambda turn: f" then {turn.body.params.seed}")
    done = await ended(ann, batch)
    assert counts(done) == (3, 1, 2)
    (row,) = (await lines_of(ann, done.output_file_id)).values()
    said = Completion.model_validate(row["response"]["body"])
    assert [choice.text for choice in said.choices] == ["a then 7", "a then 8", "b then 7", "b then 8"]
    assert [choice.index for choice in said.choices] == [0, 1, 2, 3]
    assert (said.id, said.usage and said.usage.total_tokens) == (f"cmpl-{row['response']['request_id']}", 20)
    errors = await lines_of(ann, done.error_file_id)
    told = {name: error["response"]["body"]["error"]["param"] for name, error in errors.items()}
    assert told == {"tokens": "prompt", "range": "temperature"}  # the request's own words
    tenant = service.scene.ann.tenant
    async with asyncio.timeout(PATIENCE_S):
        while await FurtherTask.objects.for_tenant(tenant).aexists():  # noqa: ASYNC110 - they go a moment after the end
            await asyncio.sleep(0.01)
    assert await Task.objects.for_tenant(tenant).filter(metadata__batch=batch.id).acount() == 4


async def test_embeddings(service: Service, ann: openai.AsyncOpenAI) -> None:
    lines = [
        line(EMBED, "list", input=["one", "three"]),
        line(EMBED, "base64", encoding_format="base64"),
        line(EMBED, "short", dimensions=2),
        line(EMBED, "stream", stream=True),
    ]
    batch = await begin(ann, jsonl(*lines), endpoint=EMBED)
    service.run()
    await answer(service, 2)
    done = await ended(ann, batch)
    rows = await lines_of(ann, done.output_file_id)
    said = CreateEmbeddingResponse.model_validate(rows["list"]["response"]["body"])
    assert [(one.index, one.embedding) for one in said.data] == [(0, [3.0, 0.5]), (1, [5.0, 0.5])]
    assert said.usage.prompt_tokens == 3
    assert rows["base64"]["response"]["body"]["data"][0]["embedding"] == "AACgQAAAAD8="
    errors = await lines_of(ann, done.error_file_id)
    assert {name: row["response"]["body"]["error"]["param"] for name, row in errors.items()} == {
        "short": "dimensions", "stream": "stream",
    }  # fmt: skip


async def test_responses(service: Service, ann: openai.AsyncOpenAI, bob: openai.AsyncOpenAI) -> None:
    stored = {"instructions": "Be brief.", "metadata": {"of": "a test"}, "max_output_tokens": 4}
    lines = [
        line(RESPOND, "stored", **stored),
        line(RESPOND, "forgotten", store=False),
        line(RESPOND, "background", background=True),
        line(RESPOND, "metadata", metadata={"batch": "mine"}),
        line(RESPOND, "stream", stream=True),
    ]
    batch = await begin(ann, jsonl(*lines), endpoint=RESPOND)
    service.run()
    await answer(service, 2)
    done = await ended(ann, batch)
    assert counts(done) == (5, 2, 3)
    rows = await lines_of(ann, done.output_file_id)
    said = {name: Response.model_validate(row["response"]["body"]) for name, row in rows.items()}
    whole = said["stored"]
    assert (whole.status, whole.output_text, whole.instructions) == ("completed", "Hi.", "Be brief.")
    assert (whole.metadata, whole.max_output_tokens) == ({"of": "a test"}, 4)
    kept = await ann.responses.retrieve(whole.id)
    assert (kept.output, kept.usage) == (whole.output, whole.usage)
    with pytest.raises(openai.NotFoundError):
        await ann.responses.retrieve(said["forgotten"].id)
    errors = await lines_of(ann, done.error_file_id)
    assert {name: row["response"]["body"]["error"]["param"] for name, row in errors.items()} == {
        "background": "background", "metadata": "metadata.batch", "stream": "stream",
    }  # fmt: skip
    going_on = jsonl(line(RESPOND, "more", previous_response_id=whole.id))
    foreign = await ended(bob, await begin(bob, going_on, endpoint=RESPOND))
    refused = (await lines_of(bob, foreign.error_file_id))["more"]["response"]
    assert (refused["status_code"], refused["body"]["error"]["param"]) == (404, "previous_response_id")
    following = await begin(ann, going_on, endpoint=RESPOND)
    (turn,) = await service.worker.claim()
    assert [message.content for message in turn.body.messages] == ["Hello", "Hi.", "Hello"]
    await service.worker.end(turn, "Again.")
    assert counts(await ended(ann, following)) == (1, 1, 0)


async def test_tools_and_forms_in_chat_lines(service: Service, ann: openai.AsyncOpenAI) -> None:
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    lines = [line(CHAT, "tool", tools=[tool]), line(CHAT, "form", response_format={"type": "json_object"})]
    batch = await begin(ann, jsonl(*lines))
    service.run()
    for turn in await service.worker.claim(2):
        called = (ToolCall(id="call_1", name="weather", arguments="{}"),) if turn.body.tools else ()
        text, reason = ("", "tool_calls") if called else ("{}", "stop")
        assert bool(turn.body.output) != bool(called)
        finish = Finish(
            turn=turn.turn, task=turn.task, attempt=turn.attempt, seq=turn.seq + 1, state="succeeded", text=text,
            finish_reason=reason, usage=Usage(3, 2), tool_calls=called,
        )  # fmt: skip
        assert await service.worker.queue.finish(service.worker.name, [finish]) == []
    rows = await lines_of(ann, (await ended(ann, batch)).output_file_id)
    said = {name: ChatCompletion.model_validate(row["response"]["body"]).choices[0] for name, row in rows.items()}
    assert (said["tool"].finish_reason, said["tool"].message.content) == ("tool_calls", None)
    assert [call.to_dict() for call in said["tool"].message.tool_calls or ()] == [
        {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    ]
    assert said["form"].message.content == "{}"


async def test_logprobs_of_several_choices(service: Service, ann: openai.AsyncOpenAI) -> None:
    await Pool.objects.filter(pk=service.scene.pool.pk).aupdate(engine=Pool.Engine.TRANSFORMERS)
    batch = await begin(ann, jsonl(line(CHAT, "likely", n=2, logprobs=True), line(CHAT, "bare")))
    service.run()
    for number, turn in enumerate(await service.worker.claim(3)):
        common: dict[str, Any] = {"turn": turn.turn, "attempt": turn.attempt}
        likely = turn.body.params.logprobs is not None
        for seq, word in enumerate(("Of", " you") if likely else (), turn.seq + 1):
            told = (TokenLogprob(token=word, logprob=-0.5 - number, bytes=tuple(word.encode())),)
            delta = Delta(**common, seq=seq, text="", token_ids=(), logprobs=told)
            assert await service.worker.queue.emit(service.worker.name, [delta]) == []
        finish = Finish(
            **common, task=turn.task, seq=turn.seq + 3, state="succeeded", text="Of you", finish_reason="stop",
            usage=Usage(3, 2), has_logprobs=likely,
        )  # fmt: skip
        assert await service.worker.queue.finish(service.worker.name, [finish]) == []
    rows = await lines_of(ann, (await ended(ann, batch)).output_file_id)
    said = {name: ChatCompletion.model_validate(row["response"]["body"]) for name, row in rows.items()}
    told_of = [choice.logprobs.content or [] for choice in said["likely"].choices if choice.logprobs]
    assert [[one.token for one in content] for content in told_of] == [["Of", " you"]] * 2
    assert {one.logprob for content in told_of for one in content} == {-0.5, -1.5}
    assert said["bare"].choices[0].logprobs is None
    assert [choice.index for choice in said["likely"].choices] == [0, 1]


async def test_a_line_has_all_of_its_choices_or_none(service: Service, ann: openai.AsyncOpenAI) -> None:
    lines = [line(CHAT, name, n=3) for name in ("good", "bad")] + [line(CHAT, "wide", n=8)]
    await type(service.scene.ann.tenant).objects.filter(pk=service.scene.ann.tenant.pk).aupdate(max_waiting=7)
    batch = await begin(ann, jsonl(*lines))
    service.run()
    good = await service.worker.claim(3)  # half of what may wait is room for one line of three
    assert (await service.worker.queue.signals()).waiting == 0
    for turn in good[:2]:
        await service.worker.end(turn, "Hi.")
    await until(ann, batch, lambda now: counts(now)[2] == 1)  # more than may ever wait
    assert counts(await ann.batches.retrieve(batch.id)) == (3, 0, 1)
    await service.worker.end(good[2], "Hi.")
    bad = await service.worker.claim(3)
    await service.worker.end(bad[0], "Hi.")
    await service.fail(bad[1])
    await service.worker.end(bad[2], "Hi.")
    done = await ended(ann, batch)
    assert (done.status, counts(done)) == ("completed", (3, 1, 2))
    (row,) = (await lines_of(ann, done.output_file_id)).values()
    assert row["custom_id"] == "good"
    assert len(ChatCompletion.model_validate(row["response"]["body"]).choices) == 3
    errors = await lines_of(ann, done.error_file_id)
    codes = {name: error["response"]["body"]["error"]["code"] for name, error in errors.items()}
    assert codes == {"bad": "context_length_exceeded", "wide": "too_many_tasks"}


async def test_tasks_that_nobody_had_noted_are_found_though_their_agent_was_edited(
    service: Service, ann: openai.AsyncOpenAI
) -> None:
    """A process that dies between acceptance and note leaves the line as it was. Seeds are the agent's, so they are others now."""
    party = service.scene.ann

    async def seed(number: int) -> None:
        changes = {"params": {"seed": number}}
        await sync_to_async(change_agent)(agent=party.agent, tenant=party.tenant, changes=changes, changed_by="a test")

    await seed(1)
    batch = await begin(ann, jsonl(line(CHAT, "one", n=2)))
    service.run()
    turns = await service.worker.claim(2)
    tenant = party.tenant
    rows = Line.objects.for_tenant(tenant)
    async with asyncio.timeout(PATIENCE_S):
        while not await rows.filter(state="running").aexists():  # noqa: ASYNC110 - it happens in Postgres
            await asyncio.sleep(0.02)
    await seed(5)
    await FurtherTask.objects.for_tenant(tenant).adelete()
    await rows.aupdate(state="waiting", task=None)
    async with asyncio.timeout(PATIENCE_S):
        while await FurtherTask.objects.for_tenant(tenant).acount() != 1:  # noqa: ASYNC110 - it happens in Postgres
            await asyncio.sleep(0.02)
    for turn in turns:
        await service.worker.end(turn, "Hi.")
    done = await ended(ann, batch)
    assert counts(done) == (1, 1, 0)
    assert await Task.objects.for_tenant(tenant).acount() == 2
