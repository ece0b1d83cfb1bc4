"""A conversation is a tree: any message can be gone on from, edited, or answered again; one branch is the head's."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import IntegrityError, transaction

from agents.faces import database
from agents.models import Conversation, Message
from agents.problems import Problem
from agents.recorder import record_once
from tests.conversations.conftest import Talk
from tests.scene import Scene


async def test_going_on_from_any_message(talk: Talk) -> None:
    for number in (1, 2):
        await talk.ask(f"q{number}")
        await talk.answer(f"a{number}")
    ids = {text: str(message.pk) for text, message in (await talk.messages()).items()}

    await talk.ask("other", after_message=ids["a1"])  # q2 edited: a branch from its parent
    assert await talk.answer("a3") == ["q1", "[a1]", "other"]
    assert await talk.branch() == ["q1", "a1", "other", "a3"]  # and there it goes on
    await talk.ask("more")
    assert await talk.answer("a4") == ["q1", "[a1]", "other", "[a3]", "more"]

    await talk.ask(None, after_message=ids["q2"])  # tried again
    assert await talk.answer("a5") == ["q1", "[a1]", "q2"]
    assert await talk.branch() == ["q1", "a1", "q2", "a5"]
    messages = await talk.messages()
    assert messages["a5"].parent_number == messages["a2"].parent_number == messages["q2"].number

    await talk.ask("anew", after_message=None)
    assert await talk.answer("a6") == ["anew"]
    assert await talk.branch() == ["anew", "a6"]
    assert [message.number for message in (await talk.messages()).values()] == list(
        range(1, 12)
    )  # the order of writing


async def test_branches_are_answered_beside_each_other(talk: Talk) -> None:
    await talk.ask("q")
    ids = {text: str(message.pk) for text, message in (await talk.messages()).items()}
    again = await talk.ask(None, after_message=ids["q"])
    assert again.row["state"] == "queued"  # a branch waits for no other
    first, second = await talk.worker.claim(2)
    await talk.worker.end(first, "first")
    await talk.settle()
    assert await talk.branch() == ["q"]  # the later one is the one that is waited for
    await talk.worker.end(second, "second")
    await talk.settle()
    assert await talk.branch() == ["q", "second"]


async def test_who_waits_goes_on_with_its_own_branch(talk: Talk) -> None:
    await talk.ask("q")
    await talk.answer("a")
    a = str((await talk.messages())["a"].pk)
    await talk.ask("left")
    behind_left = await talk.ask("left too")
    await talk.ask("right", after_message=a)
    behind_right = await talk.ask("right too")
    left, right = await talk.worker.claim(2)
    await talk.worker.end(left, "to the left")
    await talk.worker.end(right, "to the right")
    await talk.settle()
    turns = {turn.task: [m.content for m in turn.body.messages] for turn in await talk.worker.claim(2)}
    assert turns[str(behind_left.task)] == ["q", "a", "left", "to the left", "left too"]
    assert turns[str(behind_right.task)] == ["q", "a", "right", "to the right", "right too"]
    assert (await talk.branch())[-1] == "right too"


async def test_a_second_one_behind_an_ended_first_still_waits_for_who_waits(talk: Talk) -> None:
    await talk.ask("one")
    await talk.ask("two")
    (turn,) = await talk.worker.claim()
    await talk.worker.end(turn, "1")
    await record_once(talk.postgres, talk.worker.queue)  # the first has ended, the second has not begun
    third = await talk.ask("three")
    assert third.row["state"] == "waiting"
    await talk.settle()
    assert await talk.answer("2") == ["one", "[1]", "two"]
    assert await talk.answer("3") == ["one", "[1]", "two", "[2]", "three"]


async def test_an_answer_to_an_assistant_s_message_needs_words(talk: Talk) -> None:
    await talk.ask("q")
    await talk.answer("a")
    a = str((await talk.messages())["a"].pk)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"after_message": a}, "input"),
        ({"after_message": str(uuid.uuid4())}, "after_message"),
        ({"after_message": "x"}, "after_message"),
        ({"after_message": a, "when_busy": "queue"}, "when_busy"),
        ({"conversation": None, "after_message": a}, "after_message"),
        ({"conversation": None, "when_busy": "queue"}, "when_busy"),
        ({"after_message": None}, "input"),
    ]
    for more, field in wrong:
        with pytest.raises(Problem) as refused:
            await talk.ask("x" if field != "input" else None, **more)
        assert (refused.value.status, refused.value.errors[0].field) == (400, field)


async def test_a_message_of_another_conversation_is_none_of_this_one(talk: Talk, live_scene: Scene) -> None:
    for party in (live_scene.ann, live_scene.bob):
        other = await sync_to_async(party.conversation)()
        message = await Message.objects.acreate(
            tenant=party.tenant, conversation=other, number=1, role="user", content="x"
        )
        with pytest.raises(Problem) as refused:
            await talk.ask("y", after_message=str(message.pk))
        assert refused.value.errors[0].field == "after_message"


@pytest.mark.django_db(transaction=True)
def test_postgres_holds_the_tree(scene: Scene) -> None:
    one, other = scene.ann.conversation(), scene.ann.conversation()
    make: dict[str, Any] = {"tenant": scene.ann.tenant, "role": "user", "content": "x"}
    Message.objects.create(conversation=one, number=1, **make)
    Message.objects.create(conversation=one, number=2, parent_number=1, **make)
    for number, parent in ((3, 3), (3, 4), (1, None)):  # itself, a later one, a number that is taken
        with pytest.raises(IntegrityError), transaction.atomic():
            Message.objects.create(conversation=one, number=number, parent_number=parent, **make)
    with pytest.raises(IntegrityError), transaction.atomic():  # a message of another conversation
        Message.objects.create(conversation=other, number=3, parent_number=2, **make)
    with pytest.raises(IntegrityError), transaction.atomic():
        Conversation.objects.for_tenant(scene.ann.tenant).filter(pk=other.pk).update(head_number=2)


async def test_the_path_of_a_thousand_messages_is_one_quick_query(talk: Talk) -> None:
    rows = [
        Message(
            tenant=talk.ann.tenant, conversation=talk.conversation, number=number, parent_number=number - 1 or None,
            role="user", content=f"message {number}",
        )
        for number in range(1, 1001)
    ]  # fmt: skip
    # The planner's worst case: as far as it was told, there is next to nothing in the table.
    await talk.context.db.run("ANALYZE agents_message")
    await Message.objects.abulk_create(rows)
    await Conversation.objects.for_tenant(talk.ann.tenant).aupdate(head_number=1000)
    asked = {"tenant": talk.ann.tenant.pk, "conversation": talk.conversation.pk, "agent": talk.ann.agent.pk}
    (row,) = await talk.context.db.all(database.HISTORY, **asked, after=None, anew=False)
    assert [m["content"] for m in row["messages"]] == [m.content for m in rows]
    explained = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {database.HISTORY}"
    (plan,) = await talk.context.db.all(explained, **asked, after=None, anew=False)
    assert plan["QUERY PLAN"][0]["Plan"]["Shared Hit Blocks"] < 10 * len(rows)  # a look-up for each, and not a scan
