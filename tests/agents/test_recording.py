"""Folding records, and bringing them to real Postgres from real Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import psycopg
import pytest
from asgiref.sync import sync_to_async

from agents.models import AnswerLength, Message, Reply, Task, Turn
from agents.output_forms import stored
from agents.recorder import record_once
from agents.recording import fold, storable
from agents.submissions import body_of, estimated_tokens, reserved_tokens, submission
from agents.summaries import Plan, summary_body
from agents.sweep import Sweep
from taskqueue import keys
from taskqueue.async_budget import AsyncBudget
from taskqueue.async_client import AsyncQueue
from taskqueue.link import Link
from taskqueue.messages import Delta, Finish, OutputForm, Record, Submission, TaskError, Usage
from tenants.models import Tenant
from tenants.services import issue_key
from tests.scene import Scene


def record(kind: Any, at_ms: int, **more: Any) -> Record:
    return Record(**{"id": f"{at_ms}-0", "at_ms": at_ms, "kind": kind, "turn": "u", "task": "t", "attempt": 1} | more)


def test_fold_keeps_the_first_claim_and_the_outcome() -> None:
    (change,) = fold(
        [
            record("claimed", 10, worker="w1"),
            record("requeued", 20, worker="w1", claimed_ms=9, tokens=3, reason="worker_lost"),
            record("claimed", 30, worker="w2", attempt=2),
            record("finished", 40, worker="w2", attempt=2, state="succeeded", text="x", usage=Usage(1, 2)),
            record("claimed", 50, worker="w3", attempt=3),  # nothing follows an outcome
        ]
    )
    assert (change.state, change.attempts, change.worker) == ("succeeded", 2, "w2")
    assert (change.claimed_ms, change.finished_ms, change.completion_tokens) == (10, 40, 2)
    assert change.attempt_log == {
        "1": {"worker": "w1", "claimed_ms": 9, "ended_ms": 20, "tokens": 3, "reason": "worker_lost"},
        "2": {"worker": "w2", "claimed_ms": 30},
    }


def test_fold_keeps_when_each_attempt_made_its_first_token() -> None:
    lost = record("requeued", 20, worker="w1", claimed_ms=9, tokens=3, first_token_ms=15)
    last = record("finished", 40, worker="w2", attempt=2, state="succeeded", text="x", first_token_ms=35)
    (change,) = fold([record("claimed", 9, worker="w1"), lost, record("claimed", 30, worker="w2", attempt=2), last])
    assert (change.first_token_ms, change.last_token_ms) == (15, 35)
    assert change.attempt_log is not None
    assert change.attempt_log["1"]["first_token_ms"] == 15
    (alone,) = fold([record("claimed", 9, worker="w1"), record("finished", 40, state="succeeded", first_token_ms=12)])
    assert (alone.first_token_ms, alone.last_token_ms) == (12, 0)


def test_a_turn_of_one_attempt_has_no_log_of_them() -> None:
    (change,) = fold([record("claimed", 10, worker="w1"), record("finished", 40, worker="w1", state="succeeded")])
    assert change.attempt_log is None


def test_fold_of_a_turn_that_went_back() -> None:
    (change,) = fold([record("claimed", 10, worker="w1"), record("requeued", 20, worker="w1")])
    assert (change.state, change.finished_ms) == ("queued", 0)


def test_text_that_postgres_would_refuse() -> None:
    assert storable("a\x00b\ud800c") == "a\ufffdb?c"


@pytest.fixture
def live(transactional_db: None) -> Scene:
    """Committed, so that connections of psycopg see it."""
    return Scene.make()


@pytest.fixture
async def queue(live: Scene, redis_url: str) -> AsyncIterator[AsyncQueue]:
    queue = AsyncQueue(redis_url, live.pool.slug)
    yield queue
    await queue.aclose()


@pytest.fixture
async def postgres(live: Scene, database_url: str) -> AsyncIterator[psycopg.AsyncConnection]:
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        yield connection


def queued(task: Task) -> Submission:
    turn = Turn.objects.for_tenant(task.tenant_id).get(task=task)
    return submission(
        turn=str(turn.pk),
        task=str(task.pk),
        tenant=str(task.tenant_id),
        body=body_of(task.input, task.params),
        weight=1.0,
    )


async def test_outcomes_reach_postgres_once(live: Scene, queue: AsyncQueue, postgres: psycopg.AsyncConnection) -> None:
    conversation = await sync_to_async(live.ann.conversation)()
    tasks = [await sync_to_async(live.ann.task)(conversation=conversation) for _ in range(3)]
    await queue.enqueue([await sync_to_async(queued)(task) for task in tasks])
    good, bad, stopped = await queue.claim("w1", 3, lease_s=30)
    for turn in (good, stopped):
        await queue.emit("w1", [Delta(turn=turn.turn, attempt=1, seq=turn.seq + 1, text="so far", token_ids=(1,))])
    await queue.finish(
        "w1",
        [
            Finish(turn=good.turn, task=good.task, attempt=1, seq=good.seq + 2, state="succeeded", finish_reason="stop",
                   usage=Usage(3, 1), text="so far", first_token_ms=1_700_000_000_000),
            Finish(turn=bad.turn, task=bad.task, attempt=1, seq=bad.seq + 1, state="failed", error=TaskError("boom", "It broke.")),
        ],
    )  # fmt: skip
    await queue.release("w1", [stopped.turn])
    await queue.cancel([stopped.turn])

    records = await queue.read_records()
    assert await record_once(postgres, queue) == len(records)
    rows = {str(task.pk): task async for task in Task.objects.for_tenant(live.ann.tenant)}
    assert (rows[good.task].state, rows[good.task].output, rows[good.task].completion_tokens) == (
        "succeeded",
        "so far",
        1,
    )
    assert (rows[bad.task].state, rows[bad.task].error) == ("failed", {"code": "boom", "message": "It broke."})
    assert (rows[stopped.task].state, rows[stopped.task].output) == ("cancelled", "so far")  # out of the log
    answers = [m async for m in Message.objects.for_tenant(live.ann.tenant).filter(role="assistant")]
    assert [(m.number, m.content, str(m.task_id)) for m in answers] == [(4, "so far", good.task)]
    question = await Reply.objects.for_tenant(live.ann.tenant).aget(task=good.task)
    assert (answers[0].parent_number, question.answer_number) == (question.question_number, 4)
    assert await queue.known([good.turn, bad.turn, stopped.turn]) == [False] * 3


async def test_the_same_records_twice_change_nothing(
    live: Scene, queue: AsyncQueue, postgres: psycopg.AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation = await sync_to_async(live.ann.conversation)()
    task = await sync_to_async(live.ann.task)(conversation=conversation)
    await queue.enqueue([await sync_to_async(queued)(task)])
    (turn,) = await queue.claim("w1", 1, lease_s=30)
    await queue.finish(
        "w1", [Finish(turn=turn.turn, task=turn.task, attempt=1, seq=turn.seq + 1, state="succeeded", text="once")]
    )

    async def forget(*args: object, **kwargs: object) -> None:
        """A recorder that dies between its commit and the acknowledgement."""

    with monkeypatch.context() as patch:
        patch.setattr(queue, "acknowledge", forget)
        await record_once(postgres, queue)
    first = await Task.objects.for_tenant(live.ann.tenant).aget()
    assert await record_once(postgres, queue) == 2
    second = await Task.objects.for_tenant(live.ann.tenant).aget()
    assert (first.state, first.finished_at, first.output) == (second.state, second.finished_at, "once")
    assert await Message.objects.for_tenant(live.ann.tenant).acount() == 2  # its question, and one answer


async def test_what_was_reserved_is_corrected_once(
    live: Scene, queue: AsyncQueue, postgres: psycopg.AsyncConnection, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await Tenant.objects.filter(pk=live.ann.tenant.pk).aupdate(tokens_per_month=10**6)
    served, cancelled = [await sync_to_async(live.ann.task)(estimated_tokens=100) for _ in range(2)]
    link = Link(redis_url)
    tenant, month = str(live.ann.tenant.pk), f"month-{served.created_at:%Y-%m}"
    await AsyncBudget(link).count(tenant, month, 1000)
    await queue.enqueue([await sync_to_async(queued)(task) for task in (served, cancelled)])
    (turn,) = await queue.claim("w1", 1, lease_s=30)
    await queue.cancel([(await sync_to_async(queued)(cancelled)).turn])
    await queue.finish(
        "w1",
        [Finish(turn=turn.turn, task=turn.task, attempt=1, seq=9, state="succeeded", text="x", usage=Usage(3, 120))],
    )

    async def forget(*args: object, **kwargs: object) -> None:
        """A recorder that dies before the acknowledgement: the records come again."""

    with monkeypatch.context() as patch:
        patch.setattr(queue, "acknowledge", forget)
        await record_once(postgres, queue)
    await record_once(postgres, queue)
    total = await link.ask("GET", f"{keys.budget(tenant)}{month}")
    await link.aclose()
    assert int(total) == 1000 + 23 - 100


async def test_one_result_that_cannot_be_stored_does_not_hold_up_the_others(
    live: Scene, queue: AsyncQueue, postgres: psycopg.AsyncConnection
) -> None:
    tasks = [await sync_to_async(live.ann.task)() for _ in range(2)]
    await queue.enqueue([await sync_to_async(queued)(task) for task in tasks])
    good, bad = await queue.claim("w1", 2, lease_s=30)
    await queue.finish(
        "w1",
        [
            Finish(turn=good.turn, task=good.task, attempt=1, seq=9, state="succeeded", text="fine"),
            Finish(turn=bad.turn, task=bad.task, attempt=1, seq=9, state="succeeded", text="x", usage=Usage(-1, 0)),
        ],
    )
    await record_once(postgres, queue)
    rows = {str(task.pk): task async for task in Task.objects.for_tenant(live.ann.tenant)}
    assert rows[good.task].state == "succeeded"
    assert rows[bad.task].state == "failed"
    assert rows[bad.task].error["code"] == "unrecordable"


async def test_the_sweep_brings_back_what_redis_lost(
    live: Scene, queue: AsyncQueue, redis_url: str, database_url: str
) -> None:
    kept, lost = [await sync_to_async(live.ann.task)() for _ in range(2)]
    await queue.enqueue([await sync_to_async(queued)(kept)])
    sweep = Sweep(redis_url)
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        assert await sweep.once(connection, grace_s=60) == 0  # too young
        assert await sweep.once(connection, grace_s=0) == 1
        assert await sweep.once(connection, grace_s=0) == 0
    await sweep.aclose()
    claimed = await queue.claim("w1", 5, lease_s=30)
    assert sorted(turn.task for turn in claimed) == sorted([str(kept.pk), str(lost.pk)])


async def test_the_sweep_brings_back_a_task_with_its_key_and_the_key_s_limit(
    live: Scene, queue: AsyncQueue, redis_url: str, database_url: str
) -> None:
    issued = await sync_to_async(issue_key)(tenant=live.ann.tenant, name="narrow", max_running=1)
    for _ in range(2):
        await sync_to_async(live.ann.task)(api_key=issued.key)
    sweep = Sweep(redis_url)
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        assert await sweep.once(connection, grace_s=0) == 2
    await sweep.aclose()
    assert len(await queue.claim("w1", 5, lease_s=30)) == 1
    assert (await queue.signals()).held_back == 1


async def test_the_sweep_brings_back_a_turn_that_writes_a_summary(
    live: Scene, queue: AsyncQueue, redis_url: str, database_url: str
) -> None:
    task = await sync_to_async(live.ann.task)(options={"context": {"strategy": "trim"}})
    plan = Plan(first=0, count=1, last=str(task.pk), tokens=20)
    await Turn.objects.for_tenant(task.tenant_id).filter(task=task).aupdate(summarises=msgspec.to_builtins(plan))
    sweep = Sweep(redis_url)
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        assert await sweep.once(connection, grace_s=0) == 1
    await sweep.aclose()
    (claimed,) = await queue.claim("w1", 1, lease_s=30)
    assert claimed.body == summary_body(body_of(task.input, task.params, task.options), plan)
    assert claimed.body.summarises == 1


async def test_the_sweep_brings_back_a_task_with_the_body_that_was_lost(
    live: Scene, queue: AsyncQueue, redis_url: str, database_url: str
) -> None:
    """Also a schema's properties are in the order in which they were given."""
    schema = {"type": "object", "properties": {"zeta": {}, "a": {}, "bb": {}}, "required": ["zeta", "a"]}
    form = OutputForm("json_schema", schema)
    task = await sync_to_async(live.ann.task)(output_form=stored(form))
    asked = msgspec.structs.replace(body_of(task.input, task.params), output=form)
    sweep = Sweep(redis_url)
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        assert await sweep.once(connection, grace_s=0) == 1
    await sweep.aclose()
    (claimed,) = await queue.claim("w1", 1, lease_s=30)
    assert msgspec.json.encode(claimed.body) == msgspec.json.encode(asked)


async def finish_all(queue: AsyncQueue, lengths: list[int], *, state: Any = "succeeded") -> None:
    for claimed, tokens in zip(await queue.claim("w1", len(lengths), lease_s=30), lengths, strict=True):
        end = Finish(turn=claimed.turn, task=claimed.task, attempt=1, seq=claimed.seq + 1, state=state,
                     finish_reason="stop", usage=Usage(3, tokens), text="x")  # fmt: skip
        await queue.finish("w1", [end])


async def expected(live: Scene) -> AnswerLength | None:
    return await AnswerLength.objects.for_tenant(live.ann.tenant).filter(agent=live.ann.agent).afirst()


async def test_an_agents_answers_teach_how_long_the_next_will_be(
    live: Scene, queue: AsyncQueue, postgres: psycopg.AsyncConnection
) -> None:
    async def run(*lengths: int, **how: Any) -> None:
        tasks = [await sync_to_async(live.ann.task)() for _ in lengths]
        await queue.enqueue([await sync_to_async(queued)(task) for task in tasks])
        await finish_all(queue, list(lengths), **how)
        await record_once(postgres, queue)

    await run(90, state="failed")
    assert await expected(live) is None
    await run(10, 30)
    await run(50)
    learnt = await expected(live)
    assert learnt is not None
    assert (learnt.tokens, learnt.answers) == (pytest.approx(30), 3)  # at first the plain mean
    for _ in range(4):
        await run(*[100] * 30)
    learnt = await expected(live)
    assert learnt is not None
    assert (learnt.tokens, learnt.answers) == (pytest.approx(100, rel=0.01), 123)
    bob = AnswerLength.objects.for_tenant(live.bob.tenant)
    assert not await bob.aexists()


async def test_an_answer_is_learnt_from_once(
    live: Scene, queue: AsyncQueue, postgres: psycopg.AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = await sync_to_async(live.ann.task)()
    await queue.enqueue([await sync_to_async(queued)(task)])
    await finish_all(queue, [40])
    with monkeypatch.context() as patched:

        async def crash(*_: Any, **__: Any) -> None:
            raise ConnectionResetError

        patched.setattr(queue, "acknowledge", crash)
        with pytest.raises(ConnectionResetError):
            await record_once(postgres, queue)
    assert await record_once(postgres, queue) > 0
    learnt = await expected(live)
    assert learnt is not None
    assert (learnt.tokens, learnt.answers) == (40, 1)


@pytest.mark.parametrize(("measured", "tokens"), [(None, 2 + 50 + 1), (7.2, 2 + 8 + 1), (5000.0, 2 + 100 + 1)])
def test_an_estimate_goes_by_the_agents_answers_within_the_budget(measured: float | None, tokens: int) -> None:
    body = body_of([{"role": "user", "content": "12345678"}], {"max_tokens": 100})
    assert estimated_tokens(body, answer_tokens=measured) == tokens
    assert reserved_tokens(body) == 2 + 50 + 1
