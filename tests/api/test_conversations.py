"""Conversations by REST: kept, appended to, removed, and nobody else's."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.utils import timezone

from agents.models import Conversation, Message, Task
from tests.api.conftest import Application, refused
from tests.scene import Scene

CONVERSATIONS = "/api/v1/conversations"


def test_the_life_of_a_conversation(ann: Application, scene: Scene) -> None:
    made = ann.post(CONVERSATIONS, {"title": "Seas", "agent": "poet", "metadata": {"user": "7"}})
    assert made.status_code == 201
    conversation = made.json()
    path = f"{CONVERSATIONS}/{conversation['id']}"
    assert (conversation["title"], conversation["agent"], conversation["metadata"]) == ("Seas", "poet", {"user": "7"})
    assert ann.get(path).json() == conversation
    changed = ann.patch(path, {"title": "Tides"}).json()
    assert (changed["title"], changed["metadata"]) == ("Tides", {"user": "7"})

    for role, content in (("user", "  Hello\n"), ("assistant", "Hail.")):
        said = ann.post(f"{path}/messages", {"role": role, "content": content})
        assert (said.status_code, said.json()["content"]) == (201, content)  # to the letter
    rows = ann.get(f"{path}/messages").json()["results"]
    assert [(row["number"], row["role"], row["content"]) for row in rows] == [
        (2, "assistant", "Hail."), (1, "user", "  Hello\n"),
    ]  # fmt: skip

    task = scene.ann.task(conversation=Conversation.objects.for_tenant(scene.ann.tenant).get())
    refused(ann.delete(path), 409, code="in_use")
    Task.objects.for_tenant(scene.ann.tenant).update(state="succeeded", finished_at=timezone.now())
    assert ann.delete(path).status_code == 204
    refused(ann.get(path), 404)
    refused(ann.delete(path), 404)
    task.refresh_from_db()
    assert (task.conversation_id, task.input) == (None, [{"role": "user", "content": "hi"}])
    assert Message.objects.for_tenant(scene.ann.tenant).count() == 0


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"agent": "nobody"}, "agent"),
        ({"title": "x" * 201}, "title"),
        ({"title": ["x"]}, "title"),
        ({"metadata": "x"}, "metadata"),
        ({"metadata": {"a": {"b": "\x00"}}}, "metadata.a.b"),
        ({"colour": "red"}, "colour"),
        ({"id": str(uuid.uuid4())}, "id"),
    ],
)
def test_what_does_not_fit_is_named(ann: Application, scene: Scene, body: dict[str, Any], field: str) -> None:
    refused(ann.post(CONVERSATIONS, body), 400, field)
    path = f"{CONVERSATIONS}/{scene.ann.conversation().pk}"
    refused(ann.patch(path, body), 400, field)
    assert Conversation.objects.for_tenant(scene.ann.tenant).count() == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"role": "robot", "content": "x"}, "role"),
        ({"content": "x"}, "role"),
        ({"role": "user"}, "content"),
        ({"role": "user", "content": ""}, "content"),
        ({"role": "user", "content": "x", "number": 7}, "number"),
        ({"role": "user", "content": "x", "task": None}, "task"),
    ],
)
def test_a_message_that_does_not_fit(ann: Application, scene: Scene, body: dict[str, Any], field: str) -> None:
    path = f"{CONVERSATIONS}/{scene.ann.conversation().pk}/messages"
    refused(ann.post(path, body), 400, field)
    assert ann.get(path).json() == {"next": None, "results": []}


def test_another_tenant_s_conversation_does_not_exist(ann: Application, bob: Application, scene: Scene) -> None:
    mine = scene.ann.conversation(title="mine")
    theirs = scene.bob.conversation(title="theirs")
    assert ann.names(CONVERSATIONS, "title") == ["mine"]
    assert bob.names(CONVERSATIONS, "title") == ["theirs"]
    for method, path, body in [
        ("GET", f"{CONVERSATIONS}/{mine.pk}", None),
        ("PATCH", f"{CONVERSATIONS}/{mine.pk}", {"title": "x"}),
        ("DELETE", f"{CONVERSATIONS}/{mine.pk}", None),
        ("GET", f"{CONVERSATIONS}/{mine.pk}/messages", None),
        ("POST", f"{CONVERSATIONS}/{mine.pk}/messages", {"role": "user", "content": "x"}),
    ]:
        answer = refused(bob.call(method, path, body), 404)
        assert answer == refused(bob.call(method, path.replace(str(mine.pk), str(uuid.uuid4())), body), 404)
    mine.refresh_from_db()
    assert (mine.title, mine.messages.count(), theirs.messages.count()) == ("mine", 0, 0)


def test_another_tenant_s_agent_cannot_be_named(ann: Application, bob: Application, scene: Scene) -> None:
    assert ann.post("/api/v1/agents", {"slug": "bard", "pool": scene.pool.slug}).status_code == 201
    refused(bob.post(CONVERSATIONS, {"agent": "bard"}), 400, "agent")


def say(app: Application, path: str, content: str, **more: Any) -> dict[str, Any]:
    said = app.post(f"{path}/messages", {"role": "user", "content": content, **more})
    assert said.status_code == 201, said.content
    return dict(said.json())


def texts(answer: Any) -> list[str]:
    return [row["content"] for row in answer.json()["results"]]


def test_branches(ann: Application, scene: Scene) -> None:
    path = f"{CONVERSATIONS}/{scene.ann.conversation().pk}"
    assert ann.get(path).json()["head"] is None
    a, b, c = (say(ann, path, text) for text in "abc")
    left = say(ann, path, "left", after_message=a["id"])
    other = say(ann, path, "other", after_message=None)
    assert (a["parent"], b["parent"], left["parent"], other["parent"]) == (None, a["id"], a["id"], None)
    assert left["siblings"] == [b["id"], left["id"]]
    assert other["siblings"] == [a["id"], other["id"]]
    assert ann.get(path).json()["head"] == other["id"]
    assert texts(ann.get(f"{path}/messages")) == ["other"]
    assert texts(ann.get(f"{path}/messages", head=c["id"])) == ["c", "b", "a"]
    assert texts(ann.get(f"{path}/messages", all="true")) == ["other", "left", "c", "b", "a"]
    assert texts(ann.get(f"{path}/branches")) == ["other", "left", "c"]
    assert [row["siblings"] for row in ann.get(f"{path}/branches").json()["results"]] == [
        [a["id"], other["id"]], [b["id"], left["id"]], [c["id"]],
    ]  # fmt: skip

    chosen = ann.patch(path, {"head": c["id"], "when_busy": "refuse"}).json()
    assert (chosen["head"], chosen["when_busy"]) == (c["id"], "refuse")
    page = ann.get(f"{path}/messages", page_size=2)
    assert texts(page) == ["c", "b"]
    ann.patch(path, {"head": left["id"]})
    rest = ann.get(page.json()["next"].partition("testserver")[2])
    assert (texts(rest), rest.json()["next"]) == (["a"], None)  # still of the branch that was begun
    assert say(ann, path, "more")["parent"] == left["id"]

    for body, field in (
        ({"head": str(uuid.uuid4())}, "head"),
        ({"head": None}, "head"),
        ({"when_busy": "x"}, "when_busy"),
    ):
        refused(ann.patch(path, body), 400, field)
    refused(
        ann.post(f"{path}/messages", {"role": "user", "content": "x", "after_message": str(uuid.uuid4())}),
        400,
        "after_message",
    )
    refused(ann.get(f"{path}/messages", head=str(uuid.uuid4())), 400, "head")
    refused(ann.get(f"{path}/branches", head=c["id"]), 400, "head")


def test_no_message_comes_between_a_question_and_its_answer(ann: Application, scene: Scene) -> None:
    conversation = scene.ann.conversation()
    task = scene.ann.task(conversation=conversation)
    path = f"{CONVERSATIONS}/{conversation.pk}"
    body = refused(ann.post(f"{path}/messages", {"role": "user", "content": "x"}), 409, code="conversation_busy")
    assert body["task"] == str(task.pk)
    assert say(ann, path, "x", after_message=ann.get(path).json()["head"])["number"] == 2  # a branch may
    Task.objects.for_tenant(scene.ann.tenant).update(state="succeeded", finished_at=timezone.now())
    assert say(ann, path, "y")["number"] == 3


def test_filters(ann: Application, scene: Scene) -> None:
    scene.ann.conversation(title="none")
    scene.ann.conversation(title="poet's", agent=scene.ann.agent)
    assert ann.names(CONVERSATIONS, "title") == ["poet's", "none"]
    assert ann.names(CONVERSATIONS, "title", agent="poet") == ["poet's"]
    refused(ann.get(CONVERSATIONS, title="none"), 400, "title")
