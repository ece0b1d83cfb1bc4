"""A second message while the first is answered: it waits, is refused, or takes the first one's place."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import psycopg
import pytest
from django.utils import timezone

from agents.faces.found import cancel_of
from agents.models import Conversation, Reply, Task, Turn
from agents.problems import Problem
from agents.sweep import Sweep
from taskqueue.keys import log, prefix
from taskqueue.messages import Held, Submission
from tenants.models import Tenant
from tests.conversations.conftest import Talk
from tests.servers import ADDRESSES


async def test_queue_in_the_order_of_arrival_with_the_answers_before(talk: Talk) -> None:
    first = await talk.ask("one")
    second, third = await talk.ask("two"), await talk.ask("three")
    assert [task.row["state"] for task in (first, second, third)] == ["queued", "waiting", "waiting"]
    assert await talk.branch() == ["one"]  # those that wait have not been said yet
    await talk.settle()
    assert await talk.state(second.task) == "waiting"  # nothing holds a worker meanwhile
    assert await talk.answer("1") == ["one"]
    assert await talk.answer("2") == ["one", "[1]", "two"]
    assert await talk.answer("3") == ["one", "[1]", "two", "[2]", "three"]
    assert await talk.branch() == ["one", "1", "two", "2", "three", "3"]
    assert [await talk.state(task.task) for task in (first, second, third)] == ["succeeded"] * 3


async def test_who_waits_is_followed_from_the_start(talk: Talk) -> None:
    await talk.ask("one")
    second = await talk.ask("two")
    queue = talk.worker.queue
    assert [(e.seq, e.kind, e.data) for e in await queue.read_log(str(second.task))] == [
        (1, "state", '{"state":"waiting"}')
    ]
    await talk.answer("1")
    await talk.answer("2")
    states = [event.data for event in await queue.read_log(str(second.task)) if event.kind == "state"]
    assert states == ['{"state":"waiting"}', '{"state":"queued"}', '{"state":"running","attempt":1}']


@pytest.mark.parametrize("state", ["failed", "cancelled"])
async def test_the_first_without_an_answer_lets_the_next_go_on(talk: Talk, state: str) -> None:
    await talk.ask("one")
    await talk.ask("two")
    (turn,) = await talk.worker.claim()
    await talk.worker.say(turn, "half")
    await talk.worker.end(turn, "half", state=state)  # type: ignore[arg-type]
    await talk.settle()
    assert await talk.answer("2") == ["one", "two"]
    assert await talk.branch() == ["one", "two", "2"]


async def test_who_waits_can_be_cancelled_and_expires(talk: Talk) -> None:
    await talk.ask("one")
    second = await talk.ask("two")
    third = await talk.ask("three", deadline_s=3600)
    fourth = await talk.ask("four")
    await cancel_of(talk.context, talk.ann.tenant.pk, second.task)
    await (
        Task.objects.for_tenant(talk.ann.tenant)
        .filter(pk=third.task)
        .aupdate(deadline_at=timezone.now() - timedelta(seconds=1))
    )
    await talk.settle()
    await talk.settle()
    assert [await talk.state(task.task) for task in (second, third, fourth)] == ["cancelled", "expired", "waiting"]
    assert (await talk.worker.queue.read_log(str(second.task)))[-1].kind == "outcome"
    assert await talk.answer("1") == ["one"]
    assert await talk.answer("4") == ["one", "[1]", "four"]  # what never began was never said


async def test_one_whose_deadline_has_passed_is_not_begun(talk: Talk) -> None:
    await talk.ask("one")
    late = await talk.ask("two", deadline_s=3600)
    await talk.ask("three")
    (turn,) = await talk.worker.claim()
    await talk.worker.end(turn, "1")
    await (
        Task.objects.for_tenant(talk.ann.tenant)
        .filter(pk=late.task)
        .aupdate(deadline_at=timezone.now() - timedelta(seconds=1))
    )
    await talk.settle()  # its turn has come, and it is late, in the same moment
    await talk.settle()
    assert await talk.state(late.task) == "expired"
    assert await talk.answer("3") == ["one", "[1]", "three"]
    assert await talk.branch() == ["one", "1", "three", "3"]


async def test_refuse_names_the_task(talk: Talk) -> None:
    first = await talk.ask("one")
    with pytest.raises(Problem) as refused:
        await talk.ask("two", when_busy="refuse")
    assert (refused.value.status, refused.value.code) == (409, "conversation_busy")
    assert refused.value.body()["task"] == str(first.task)
    await talk.answer("1")
    assert (await talk.ask("two", when_busy="refuse")).row["state"] == "queued"
    assert await Task.objects.for_tenant(talk.ann.tenant).acount() == 2


async def test_interrupt_keeps_what_was_said(talk: Talk) -> None:
    first = await talk.ask("one")
    (turn,) = await talk.worker.claim()
    await talk.worker.say(turn, "half")
    waiting = await talk.ask("two")
    third = await talk.ask("three", when_busy="interrupt")
    await talk.settle()
    await talk.worker.end(turn, "half", state="cancelled")  # the worker heard that it is to stop
    await talk.settle()
    assert await talk.answer("3") == ["one", "[half]", "three"]
    assert await talk.branch() == ["one", "half", "three", "3"]
    marked = [text for text, message in (await talk.messages()).items() if message.interrupted]
    assert marked == ["half"]
    states = [await talk.state(task.task) for task in (first, waiting, third)]
    assert states == ["cancelled", "cancelled", "succeeded"]


async def test_who_is_withdrawn_has_nobody_ended(talk: Talk) -> None:
    """The queue may refuse a task after its commit: the sender was told so, and the one before it runs on."""
    first = await talk.ask("one")
    second = await talk.ask("two", when_busy="interrupt")
    third = await talk.ask("three", when_busy="roll_back")
    how = Reply.objects.for_tenant(talk.ann.tenant).order_by("number").values_list("superseded", flat=True)
    await talk.context.db.withdraw([third.task])
    assert [one async for one in how.all()] == ["roll_back", ""]  # the second is to have it ended all the same
    await talk.context.db.withdraw([second.task])
    assert [one async for one in how.all()] == [""]
    await talk.settle()
    assert await talk.answer("1") == ["one"]
    assert await talk.state(first.task) == "succeeded"


async def test_interrupt_before_anything_was_said(talk: Talk) -> None:
    await talk.ask("one")
    await talk.ask("two", when_busy="interrupt")
    await talk.settle()  # no worker has the first: it ends at once
    await talk.settle()
    assert await talk.answer("2") == ["one", "two"]
    assert await talk.branch() == ["one", "two", "2"]


async def test_roll_back_goes_on_from_where_the_first_began(talk: Talk) -> None:
    await talk.ask("zero")
    await talk.answer("0")
    await talk.ask("one")
    (turn,) = await talk.worker.claim()
    await talk.worker.say(turn, "half")
    await talk.ask("two", when_busy="roll_back")
    await talk.settle()
    await talk.worker.end(turn, "half", state="cancelled")
    await talk.settle()
    assert await talk.answer("2") == ["zero", "[0]", "two"]
    assert await talk.branch() == ["zero", "0", "two", "2"]
    messages = await talk.messages()  # the other branch is still there
    assert messages["half"].parent_number == messages["one"].number
    assert messages["one"].parent_number == messages["two"].parent_number == messages["0"].number


async def test_a_later_one_takes_the_place_of_one_that_waits_to_take_it(talk: Talk) -> None:
    await talk.ask("one")
    (turn,) = await talk.worker.claim()
    for text in ("two", "three"):
        await talk.ask(text, when_busy="roll_back")
    last = await talk.ask("four", when_busy="interrupt")
    await talk.settle()
    await talk.worker.end(turn, "", state="cancelled")
    await talk.settle()
    await talk.settle()
    assert await talk.answer("4") == ["four"]  # what was rolled back stays so
    assert await talk.state(last.task) == "succeeded"


async def test_the_conversation_s_own_rule_and_the_request_s(talk: Talk) -> None:
    await Conversation.objects.for_tenant(talk.ann.tenant).aupdate(when_busy="refuse")
    await talk.ask("one")
    with pytest.raises(Problem, match="has not ended"):
        await talk.ask("two")
    assert (await talk.ask("two", when_busy="queue")).row["state"] == "waiting"


async def test_who_waits_counts_as_waiting(talk: Talk) -> None:
    await Tenant.objects.filter(pk=talk.ann.tenant.pk).aupdate(max_waiting=3)
    await talk.ask("one")
    await talk.ask("two")
    await talk.ask("three")
    with pytest.raises(Problem) as refused:
        await talk.ask("four")
    assert (refused.value.status, refused.value.code) == (429, "too_many_waiting")
    assert await Reply.objects.for_tenant(talk.ann.tenant).acount() == 3
    replacing = await talk.ask("five", when_busy="roll_back")  # adds nothing: it takes another one's place
    assert replacing.row["state"] == "waiting"


async def test_a_repeat_by_its_key_is_no_second_message(talk: Talk) -> None:
    first = await talk.ask("one", idempotency_key="k", when_busy="roll_back")
    again = await talk.ask("one", idempotency_key="k", when_busy="roll_back")
    assert (again.task, await talk.state(first.task)) == (first.task, "queued")
    await talk.settle()
    assert await talk.answer("1") == ["one"]


async def test_many_at_the_same_moment_are_one_after_the_other(talk: Talk) -> None:
    tasks = await asyncio.gather(*(talk.ask(f"m{n}") for n in range(8)))
    assert sorted(task.row["state"] for task in tasks) == ["queued"] + ["waiting"] * 7
    running = Reply.objects.for_tenant(talk.ann.tenant).filter(over=False, question_number__isnull=False)
    longest: list[str] = []
    for number in range(8):
        assert await running.acount() == 1
        longest = await talk.answer(f"a{number}")
    said = longest[::2]
    assert sorted(said) == [f"m{n}" for n in range(8)]
    assert longest[1::2] == [f"[a{n}]" for n in range(7)]


async def test_redis_forgets_who_waits(talk: Talk) -> None:
    await talk.ask("one")
    second = await talk.ask("two")
    queue = talk.worker.queue
    await queue.link.ask("DEL", log(queue.pool, str(second.task)))
    await talk.answer("1")
    assert await talk.answer("2") == ["one", "[1]", "two"]
    assert (await queue.read_log(str(second.task)))[0].kind == "restart"  # whoever had read of it is told


@pytest.mark.parametrize("has_waited", [False, True])
async def test_ended_between_the_commit_and_the_queue(talk: Talk, has_waited: bool) -> None:
    """Who was slow to enqueue a task that was cancelled meanwhile has nobody run it."""
    if has_waited:
        await talk.ask("zero")
    asked = await talk.ask("one")
    if has_waited:
        await talk.answer("0")
    queue, task, tenant = talk.worker.queue, str(asked.task), str(talk.ann.tenant.pk)
    turn = str((await Turn.objects.for_tenant(talk.ann.tenant).aget(task=asked.task)).pk)
    (late,) = await queue.claim("gone", 1, lease_s=30)
    assert late.turn == turn
    await queue.link.ask("DEL", *(await queue.link.ask("KEYS", f"{prefix(queue.pool)}*")))
    if has_waited:
        await queue.hold([Held(task=task, tenant=tenant)])  # its stream, as it was before it was enqueued
    await cancel_of(talk.context, talk.ann.tenant.pk, asked.task)
    assert await talk.state(asked.task) == "cancelled"
    (answer,) = await queue.enqueue([Submission(turn=turn, task=task, tenant=tenant, body=late.body)])
    assert answer.verdict == "known"
    assert await queue.claim("hand", 1, lease_s=30) == []
    assert (await queue.read_log(task))[-1].kind == "outcome"
    await talk.settle()
    assert await talk.state(asked.task) == "cancelled"


async def test_killed_between_the_commit_and_the_queue(talk: Talk) -> None:
    """The sweep brings back one that has begun, and none that waits."""
    await talk.ask("one")
    second, third = await talk.ask("two"), await talk.ask("three")
    (turn,) = await talk.worker.claim()
    await talk.worker.end(turn, "1")
    await talk.settle()
    queue = talk.worker.queue
    turns = {row.task_id: str(row.pk) async for row in Turn.objects.for_tenant(talk.ann.tenant)}
    for name in await queue.link.ask("KEYS", f"{prefix(queue.pool)}*"):
        await queue.link.ask("DEL", name)
    sweep = Sweep(ADDRESSES.redis_url)
    async with await psycopg.AsyncConnection.connect(talk.postgres.info.dsn, autocommit=True) as connection:
        await sweep.once(connection, grace_s=0)
    await sweep.aclose()
    assert await queue.known([turns[second.task], turns[third.task]]) == [True, False]
    assert await talk.answer("2") == ["one", "[1]", "two"]
    assert await talk.answer("3") == ["one", "[1]", "two", "[2]", "three"]
