"""Batches by the official client: from the file to the answers, and all the ways in which one may end."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import openai
import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone
from openai.types.chat import ChatCompletion

from agents.models import Task
from batches.identifiers import BATCH, row_of
from batches.models import Batch, File, FileChunk, Line
from batches.runner.finish import finish
from taskqueue.messages import INVALID_OUTPUT, ClaimedTurn, Finish, TaskError, Usage
from tenants.models import ApiKey, Tenant
from tenants.services import issue_key, revoke_key
from tests.batches.conftest import Service, begin, counts, ended, jsonl, line, lines_of, until
from tests.faces.conftest import PATIENCE_S
from webhooks.models import Delivery
from webhooks.services import create_endpoint

BATCH_EVENTS = ["batch.completed", "batch.failed", "batch.expired", "batch.cancelled"]
pytestmark = pytest.mark.timeout(90)


async def answer(service: Service, turns: list[ClaimedTurn]) -> None:
    for turn in turns:
        await service.worker.say(turn, "Of ", turn.body.messages[-1].content)
        await service.worker.end(turn, f"Of {turn.body.messages[-1].content}")


async def answer_all(service: Service, count: int) -> None:
    """So many, one by one, as they come."""
    for _ in range(count):
        await answer(service, await service.worker.claim())


async def waiting(service: Service) -> int:
    return (await service.worker.queue.signals()).waiting


async def until_waiting(service: Service, count: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while await waiting(service) != count:  # noqa: ASYNC110 - it happens in Redis
            await asyncio.sleep(0.01)


async def test_a_batch_from_its_file_to_its_answers(service: Service, ann: openai.AsyncOpenAI) -> None:
    batch = await begin(ann, jsonl(*(line(number) for number in range(25))), metadata={"of": "a test"})
    assert (batch.status, batch.object, batch.completion_window) == ("validating", "batch", "24h")
    assert batch.expires_at == batch.created_at + 24 * 3600
    service.run()
    await answer_all(service, 25)
    done = await ended(ann, batch)
    assert (done.status, done.error_file_id, counts(done)) == ("completed", None, (25, 25, 0))
    assert done.metadata == {"of": "a test"}
    assert done.created_at <= done.in_progress_at <= done.finalizing_at <= done.completed_at  # type: ignore[operator]
    rows = await lines_of(ann, done.output_file_id)
    assert list(rows) == [f"line-{number}" for number in range(25)]  # in the order of the file
    for number, row in enumerate(rows.values()):
        assert (row["error"], row["response"]["status_code"]) == (None, 200)
        said = ChatCompletion.model_validate(row["response"]["body"])
        assert said.choices[0].message.content == f"Of tell me of {number}"
        assert (said.model, said.id) == ("poet", f"chatcmpl-{row['response']['request_id']}")
    output = await ann.files.retrieve(str(done.output_file_id))
    assert (output.purpose, output.status, output.filename) == (
        "batch_output", "processed", f"{batch.id}_output.jsonl",
    )  # fmt: skip
    tasks = Task.objects.for_tenant(service.scene.ann.tenant).filter(metadata__batch=batch.id)
    assert [task.priority async for task in tasks] == [9] * 25
    async with asyncio.timeout(PATIENCE_S):
        while await Line.objects.for_tenant(service.scene.ann.tenant).aexists():  # noqa: ASYNC110 - a moment later
            await asyncio.sleep(0.01)


async def test_an_answer_that_its_limit_cut_off_is_counted_where_it_stands(
    service: Service, ann: openai.AsyncOpenAI
) -> None:
    form = {"response_format": {"type": "json_object"}}
    lines = [line(number, body={**line(number)["body"], **form}) for number in range(2)]
    batch = await begin(ann, jsonl(*lines))
    service.run()
    for turn, reason in zip(await service.worker.claim(2), ("length", "stop"), strict=True):
        record = Finish(
            turn=turn.turn, task=turn.task, attempt=turn.attempt, seq=turn.seq + 1, state="failed", text="{",
            finish_reason=reason, error=TaskError(INVALID_OUTPUT, "The answer is no JSON."), usage=Usage(3, 1),
        )  # fmt: skip
        assert await service.worker.queue.finish(service.worker.name, [record]) == []
    done = await ended(ann, batch)
    assert counts(done) == (2, 1, 1)
    assert [len(await lines_of(ann, file)) for file in (done.output_file_id, done.error_file_id)] == [1, 1]


async def test_lines_that_cannot_be_run_do_not_stop_the_others(service: Service, ann: openai.AsyncOpenAI) -> None:
    def body(**more: Any) -> dict[str, Any]:
        return {**line(0)["body"], **more}

    bad: dict[str | None, tuple[Any, str]] = {
        None: (b'{"custom_id": "broken"', "invalid_json_line"),
        "more": (line(1, custom_id="more", priority=1), "invalid_line"),
        "get": (line(1, custom_id="get", method="GET"), "invalid_method"),
        "url": (line(1, custom_id="url", url="/v1/embeddings"), "invalid_url"),
        "nul": (line(1, custom_id="nul", body=body(user="\x00")), "invalid_line"),
    }
    refused: dict[str, tuple[Any, int, str]] = {
        "field": (line(1, custom_id="field", body=body(logit_bias={})), 400, "invalid"),
        "model": (line(1, model="nobody", custom_id="model"), 404, "model_not_found"),
        "stream": (line(1, custom_id="stream", body=body(stream=True)), 400, "invalid"),
        "range": (line(1, custom_id="range", body=body(temperature=9)), 400, "invalid"),
    }
    lines = [line(0), *(one for one, _ in bad.values()), b"  \r", *(one for one, _, _ in refused.values())]
    batch = await begin(ann, jsonl(*lines, line(2), line(3, model=service.scene.pool.slug), line(0)))
    service.run()
    turns = await service.worker.claim(3)
    await service.fail(next(turn for turn in turns if turn.body.messages[-1].content == "tell me of 2"))
    await answer(service, [turn for turn in turns if turn.body.messages[-1].content != "tell me of 2"])
    done = await ended(ann, batch)
    assert (done.status, counts(done)) == ("completed", (13, 2, 11))
    assert list(await lines_of(ann, done.output_file_id)) == ["line-0", "line-3"]
    errors = await lines_of(ann, done.error_file_id)
    assert set(errors) == {*bad, *refused, "line-2", "line-0"}
    for name, (_, code) in bad.items():
        assert errors[name]["response"] is None
        assert errors[name]["error"]["code"] == code, errors[name]
    for name, (_, status, code) in refused.items():
        assert errors[name]["error"] is None
        response = errors[name]["response"]
        assert (response["status_code"], response["body"]["error"]["code"]) == (status, code), response
    assert errors["line-0"]["error"]["code"] == "duplicate_custom_id"
    assert errors["line-2"]["response"]["body"]["error"]["code"] == "context_length_exceeded"


async def test_a_file_that_is_no_jsonl_fails(service: Service, ann: openai.AsyncOpenAI) -> None:
    service.run()
    for data, found in (
        (b"one\n\ntwo\n[3]\n", [(1, "invalid_json_line"), (3, "invalid_json_line"), (4, "invalid_json_line")]),
        (b"x\n" * 50, [(number, "invalid_json_line") for number in range(1, 21)]),
    ):
        failed = await ended(ann, await begin(ann, data))
        assert (failed.status, failed.output_file_id, failed.error_file_id) == ("failed", None, None)
        assert failed.failed_at
        assert failed.errors is not None
        assert [(one.line, one.code) for one in failed.errors.data or ()] == found


async def test_webhooks_are_told_of_its_end_once(service: Service, ann: openai.AsyncOpenAI) -> None:
    tenant = service.scene.ann.tenant
    await sync_to_async(create_endpoint)(tenant=tenant, url="https://hooks.example/", event_types=BATCH_EVENTS)
    service.run()
    failed = await ended(ann, await begin(ann, b"x\n"))
    done = await begin(ann, jsonl(line(1)), metadata={"of": "a test"})
    await answer_all(service, 1)
    done = await ended(ann, done)
    told = [delivery.payload async for delivery in Delivery.objects.for_tenant(tenant).order_by("created_at")]
    assert [(one["type"], one["data"]["id"]) for one in told] == [
        ("batch.failed", failed.id), ("batch.completed", done.id),
    ]  # fmt: skip
    assert told[0]["data"]["errors"]["data"][0]["line"] == 1
    assert told[1]["data"]["output_file_id"] == done.output_file_id
    assert told[1]["data"]["metadata"] == {"of": "a test"}


async def test_cancelled_in_the_middle(service: Service, ann: openai.AsyncOpenAI) -> None:
    batch = await begin(ann, jsonl(*(line(number) for number in range(30))))
    service.run()
    await answer_all(service, 3)
    (running,) = await service.worker.claim()
    await until(ann, batch, lambda now: counts(now)[1] == 3)
    cancelling = await ann.batches.cancel(batch.id)
    assert (cancelling.status, cancelling.cancelling_at is None) == ("cancelling", False)
    assert (await ann.batches.cancel(batch.id)).status in ("cancelling", "cancelled")
    await until(ann, batch, lambda now: counts(now) == (30, 3, 26))
    await service.worker.end(running, "done all the same")
    done = await ended(ann, batch)
    assert (done.status, counts(done)) == ("cancelled", (30, 4, 26))
    assert done.cancelled_at
    assert len(await lines_of(ann, done.output_file_id)) == 4
    errors = await lines_of(ann, done.error_file_id)
    assert {row["error"]["code"] for row in errors.values()} == {"batch_cancelled"}
    assert (await ann.batches.cancel(batch.id)).status == "cancelled"
    assert await waiting(service) == 0


async def test_cancelled_before_its_lines_are_known(service: Service, ann: openai.AsyncOpenAI) -> None:
    batch = await begin(ann, jsonl(line(1)))
    await ann.batches.cancel(batch.id)
    service.run()
    done = await ended(ann, batch)
    assert (done.status, done.output_file_id, done.error_file_id) == ("cancelled", None, None)
    completed = await begin(ann, jsonl(b"x"))
    await ended(ann, completed)
    with pytest.raises(openai.ConflictError, match="failed"):
        await ann.batches.cancel(completed.id)


async def test_what_is_done_when_its_time_is_over_stays(service: Service, ann: openai.AsyncOpenAI) -> None:
    batch = await begin(ann, jsonl(*(line(number) for number in range(30))))
    service.run()
    await answer_all(service, 2)
    await until(ann, batch, lambda now: counts(now)[1] == 2)
    rows = Batch.objects.for_tenant(service.scene.ann.tenant)
    await rows.filter(pk=row_of(BATCH, batch.id)).aupdate(expires_at=timezone.now() - timedelta(seconds=1))
    done = await ended(ann, batch)
    assert (done.status, counts(done)) == ("expired", (30, 2, 28))
    assert done.expired_at
    assert len(await lines_of(ann, done.output_file_id)) == 2
    errors = await lines_of(ann, done.error_file_id)
    assert {row["error"]["code"] for row in errors.values()} == {"batch_expired"}


async def test_a_revoked_key_fails_the_lines_that_are_left(service: Service, ann: openai.AsyncOpenAI) -> None:
    tenant = service.scene.ann.tenant
    issued = await sync_to_async(issue_key)(tenant=tenant, name="for a batch")
    async with openai.AsyncOpenAI(base_url=f"{service.url}/v1", api_key=issued.secret, max_retries=0) as theirs:
        batch = await begin(theirs, jsonl(*(line(number) for number in range(30))))
    service.run()
    turns = await service.worker.claim(10)
    await sync_to_async(revoke_key)(key=await ApiKey.objects.for_tenant(tenant).aget(pk=issued.key.pk))
    await answer(service, turns[:1])
    # What the key submitted while it was valid goes on.
    await until(ann, batch, lambda now: counts(now)[2] > 0)
    await answer(service, turns[1:])
    done = await ended(ann, batch)
    assert done.status == "completed"
    assert counts(done)[1] >= 10
    errors = await lines_of(ann, done.error_file_id)
    assert {row["response"]["status_code"] for row in errors.values()} == {401}


async def test_batches_take_half_of_their_tenants_limits_and_come_last(
    service: Service, ann: openai.AsyncOpenAI
) -> None:
    service.run()
    batches = [await begin(ann, jsonl(*(line(number) for number in range(30)))) for _ in range(2)]
    for batch in batches:
        await until(ann, batch, lambda now: now.status == "in_progress")
    for _ in range(20):
        (turn,) = await service.worker.claim()
        seen = await service.worker.queue.signals()
        assert 1 <= seen.waiting + seen.running <= 10  # of 20, for both together
        await answer(service, [turn])
    await until_waiting(service, 10)  # the worker holds none, so nothing of the batches comes in
    asking = asyncio.create_task(
        ann.chat.completions.create(model="poet", messages=[{"role": "user", "content": "now"}])
    )
    await until_waiting(service, 11)
    (turn,) = await service.worker.claim()
    assert turn.body.messages[-1].content == "now"
    await answer(service, [turn])
    assert (await asking).choices[0].message.content == "Of now"
    await answer_all(service, 40)
    for batch in batches:
        assert counts(await ended(ann, batch)) == (30, 30, 0)


async def test_a_full_line_is_no_error_of_a_batch(service: Service, ann: openai.AsyncOpenAI) -> None:
    headers = service.scene.ann.headers
    async with httpx.AsyncClient(base_url=service.url, headers=headers, timeout=PATIENCE_S) as plain:
        for number in range(20):
            answered = await plain.post("/api/v1/tasks", json={"agent": "poet", "input": f"first {number}"})
            assert answered.status_code == 202
    batch = await begin(ann, jsonl(*(line(number) for number in range(3))))
    service.run()
    closed = service.context.acceptance._closed
    async with asyncio.timeout(PATIENCE_S):
        while not closed:  # noqa: ASYNC110 - until a line was refused, with 429
            await asyncio.sleep(0.01)
    await answer_all(service, 23)
    assert counts(await ended(ann, batch)) == (3, 3, 0)


async def test_lists(ann: openai.AsyncOpenAI, bob: openai.AsyncOpenAI) -> None:
    made = [await begin(ann, jsonl(line(number))) for number in range(5)]
    assert [batch.id async for batch in ann.batches.list(limit=2)] == [batch.id for batch in reversed(made)]
    page = await ann.batches.list(limit=2, after=made[3].id)
    assert [batch.id for batch in page.data] == [made[2].id, made[1].id]
    assert page.has_more
    assert [batch async for batch in bob.batches.list()] == []
    for asked, name in (({"limit": 101}, "limit"), ({"after": "x"}, "after"), ({"extra_query": {"of": 1}}, "of")):
        with pytest.raises(openai.BadRequestError) as refused:
            await ann.batches.list(**asked)  # type: ignore[arg-type]
        assert refused.value.param == name
    with pytest.raises(openai.BadRequestError, match="no such object"):
        await bob.batches.list(after=made[0].id)


async def test_what_no_batch_can_be_made_of(service: Service, ann: openai.AsyncOpenAI, bob: openai.AsyncOpenAI) -> None:
    file = (await ann.files.create(file=("x", jsonl(line(1))), purpose="batch")).id
    asked: dict[str, Any] = {
        "input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h",
    }  # fmt: skip
    for more, name in [
        ({"endpoint": "/v1/moderations"}, "endpoint"),
        ({"completion_window": "1h"}, "completion_window"),
        ({"input_file_id": "file-x"}, "input_file_id"),
        ({"metadata": {"x" * 65: "y"}}, "metadata"),
        ({"metadata": {str(number): "y" for number in range(17)}}, "metadata"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 60}}, "output_expires_after.seconds"),
        ({"output_expires_after": {"anchor": "now", "seconds": 3600}}, "output_expires_after.anchor"),
    ]:
        with pytest.raises(openai.BadRequestError) as refused:
            await ann.batches.create(**{**asked, **more})
        assert refused.value.param == name
    with pytest.raises(openai.BadRequestError, match="no such file"):
        await bob.batches.create(**asked)
    issue = sync_to_async(issue_key)
    for scopes in (("batches:write",), ("tasks:write", "batches:read")):
        issued = await issue(tenant=service.scene.ann.tenant, name="x", scopes=scopes)
        async with openai.AsyncOpenAI(base_url=f"{service.url}/v1", api_key=issued.secret, max_retries=0) as client:
            with pytest.raises(openai.PermissionDeniedError):
                await client.batches.create(**asked)


async def test_another_tenants_batch_is_no_batch(
    service: Service, ann: openai.AsyncOpenAI, bob: openai.AsyncOpenAI
) -> None:
    batch = await begin(ann, jsonl(line(1)))
    for call in (bob.batches.retrieve, bob.batches.cancel):
        with pytest.raises(openai.NotFoundError):
            await call(batch.id)
    with pytest.raises(openai.NotFoundError):
        await ann.batches.retrieve(batch.id.upper())
    assert (await ann.batches.retrieve(batch.id)).status == "validating"


async def test_a_process_that_was_paused_comes_back_to_a_batch_that_is_not_its_own(
    service: Service, ann: openai.AsyncOpenAI
) -> None:
    """Its files are dropped, its lines come to nothing: whoever holds the batch has done it."""
    batch = await begin(ann, jsonl(line(1), line(2)))
    service.run()
    await answer_all(service, 1)
    (turn,) = await service.worker.claim()
    row = await service.context.db.one(
        "SELECT *, false AS is_over FROM batches_batch WHERE id = %s", row_of(BATCH, batch.id)
    )
    assert row is not None
    late = {**row, "state": "finalizing", "holder": "another"}
    await until(ann, batch, lambda now: counts(now)[1] == 1)
    await finish(service.context, late)
    assert (await ann.batches.retrieve(batch.id)).status == "in_progress"
    await answer(service, [turn])
    done = await ended(ann, batch)
    assert counts(done) == (2, 2, 0)
    await finish(service.context, late)
    assert (await ann.batches.retrieve(batch.id)) == done
    tenant: Tenant = service.scene.ann.tenant
    assert await File.objects.for_tenant(tenant).filter(purpose="batch_output").acount() == 1
    assert await FileChunk.objects.for_tenant(tenant).acount() == 2
