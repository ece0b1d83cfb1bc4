"""What was a list of messages becomes a tree of one branch; its tasks know what they answer."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from tests.scene import Scene

NAME = "conversation_branches"


@pytest.fixture
def before(transactional_db: None) -> Iterator[Any]:
    """The database as it was before; the models as they were."""
    executor = MigrationExecutor(connection)
    (this,) = [node for node in executor.loader.graph.nodes if node[0] == "agents" and node[1].endswith(NAME)]
    (earlier,) = [key for key in executor.loader.graph.node_map[this].parents if key[0] == "agents"]  # type: ignore[attr-defined]
    yield executor, earlier
    forward = MigrationExecutor(connection)
    forward.migrate(forward.loader.graph.leaf_nodes())


def test_linear_messages_become_a_branch(before: Any) -> None:
    executor, (app, earlier) = before
    scene = Scene.make()
    party = scene.ann
    conversation, empty = party.conversation(), party.conversation()
    tasks = [party.task() for _ in range(3)]
    executor.migrate([(app, earlier)])
    old = executor.loader.project_state([(app, earlier)]).apps
    Message = old.get_model("agents", "Message")
    old.get_model("agents", "Task")._base_manager.filter(pk__in=[t.pk for t in tasks]).update(
        conversation_id=conversation.pk
    )
    old.get_model("agents", "Task")._base_manager.filter(pk=tasks[0].pk).update(
        state="succeeded", finished_at=timezone.now()
    )
    # The last two overlapped, as they could; one number is missing.
    for number, role, task in (
        (1, "system", None), (2, "user", tasks[0]), (3, "assistant", tasks[0]), (5, "user", tasks[1]), (6, "user", tasks[2]),
        (7, "assistant", tasks[2]),
    ):  # fmt: skip
        Message._base_manager.create(
            id=uuid.uuid4(), tenant_id=party.tenant.pk, conversation_id=conversation.pk, number=number, role=role,
            content=str(number), task_id=task and task.pk,
        )  # fmt: skip
    forward = MigrationExecutor(connection)
    forward.migrate(forward.loader.graph.leaf_nodes())

    parents = conversation.messages.order_by("number").values_list("number", "parent_number")
    assert list(parents) == [(1, None), (2, 1), (3, 2), (5, 3), (6, 5), (7, 6)]
    conversation.refresh_from_db()
    empty.refresh_from_db()
    assert (conversation.head_number, empty.head_number, conversation.when_busy) == (7, None, "queue")
    replies = conversation.replies.order_by("number").values_list(
        "task", "after_number", "question_number", "answer_number", "said", "over"
    )
    assert list(replies) == [
        (tasks[0].pk, 1, 2, 3, 1, True), (tasks[1].pk, 3, 5, None, 1, False), (tasks[2].pk, 5, 6, 7, 1, False),
    ]  # fmt: skip
