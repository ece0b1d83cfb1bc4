"""The lists of what one object has, by number: an agent's revisions, a conversation's messages."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from agents.conversations import append_message
from agents.models import Conversation
from agents.services import revise_agent
from tests.api.conftest import Application, refused
from tests.scene import Party, Scene

COUNT = 7
LISTS = ("revisions", "messages")


def add(party: Party, kind: str, count: int = 1) -> None:
    """So many rows more."""
    for _ in range(count):
        if kind == "messages":
            append_message(conversation=conversation_of(party), role="user", content="Hello")
        else:
            assert party.agent.current_revision is not None
            pool = party.agent.current_revision.pool
            revise_agent(agent=party.agent, pool=pool, system_prompt=uuid.uuid4().hex, params={})


def conversation_of(party: Party) -> Conversation:
    return Conversation.objects.for_tenant(party.tenant).first() or party.conversation()


def path_of(party: Party, kind: str, *, count: int = COUNT) -> str:
    """The address of a list of so many rows, numbered from 1."""
    add(party, kind, count if kind == "messages" else count - 1)  # the agent has its first revision
    if kind == "messages":
        return f"/api/v1/conversations/{conversation_of(party).pk}/messages"
    return f"/api/v1/agents/{party.agent.slug}/revisions"


@pytest.mark.parametrize("kind", LISTS)
def test_pages_do_not_move_while_rows_come(ann: Application, scene: Scene, kind: str) -> None:
    path = path_of(scene.ann, kind)
    expected = list(range(COUNT, 0, -1))
    assert ann.names(path, "number") == expected
    page = ann.get(path, page_size=3).json()
    seen = [row["number"] for row in page["results"]]
    assert seen == expected[:3]
    add(scene.ann, kind)
    while page["next"] is not None:
        page = ann.get(page["next"]).json()
        seen += [row["number"] for row in page["results"]]
    assert seen == expected
    assert ann.names(path, "number", page_size=COUNT + 1)[0] == COUNT + 1


@pytest.mark.parametrize("kind", LISTS)
def test_a_page_has_a_bound(ann: Application, scene: Scene, kind: str) -> None:
    path = path_of(scene.ann, kind, count=51)
    page = ann.get(path).json()
    assert (len(page["results"]), page["next"] is None) == (50, False)
    assert [row["number"] for row in ann.get(page["next"]).json()["results"]] == [1]


@pytest.mark.parametrize("kind", LISTS)
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"colour": "red"}, "colour"),
        ({"page_size": "201"}, "page_size"),
        ({"page_size": "0"}, "page_size"),
        ({"cursor": ""}, "cursor"),
        ({"cursor": "x"}, "cursor"),
        ({"cursor": "MA"}, "cursor"),  # 0
        ({"cursor": "OTk5OTk5OTk5OTk5"}, "cursor"),  # more than a number may be
        ({"cursor": "MS41"}, "cursor"),  # 1.5
    ],
)
def test_what_does_not_fit_is_named(
    ann: Application, scene: Scene, kind: str, query: dict[str, Any], field: str
) -> None:
    refused(ann.get(path_of(scene.ann, kind, count=1), **query), 400, field)


@pytest.mark.parametrize("kind", LISTS)
def test_a_cursor_of_another_list_is_none(ann: Application, scene: Scene, kind: str) -> None:
    for _ in range(2):
        scene.ann.task()
    cursor = ann.get("/api/v1/tasks", page_size=1).json()["next"].partition("cursor=")[2].partition("&")[0]
    refused(ann.get(path_of(scene.ann, kind), cursor=cursor), 400, "cursor")


@pytest.mark.parametrize("kind", LISTS)
def test_a_cursor_opens_no_list_of_another_tenant_s(
    ann: Application, bob: Application, scene: Scene, kind: str
) -> None:
    page = ann.get(path_of(scene.ann, kind), page_size=2).json()
    if kind == "messages":
        refused(bob.get(page["next"]), 404)
    else:  # both have an agent of that name
        assert [row["number"] for row in bob.get(page["next"]).json()["results"]] == [1]
