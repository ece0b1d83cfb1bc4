"""Conversations as trees: their branches are read, messages are added by hand, and one branch is chosen to go on."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable

from django.db import transaction
from django.db.models import Exists, Max, OuterRef, QuerySet
from django.db.models.expressions import RawSQL

from agents.branches import Busy, Standing, WhenBusy, at_head
from agents.message_paths import NUMBERS
from agents.models import Conversation, Message, Reply
from agents.problems import bad_field, conversation_busy

HEAD = object()
"""Where a message goes that names no other: behind the head."""


def message_of(conversation: Conversation, message: uuid.UUID, *, field: str) -> Message:
    """A message of the conversation; the problem names the field that it came by."""
    found = conversation.messages.filter(pk=message).first()
    if found is None:
        raise bad_field(field, "there is no such message in the conversation")
    return found


def branch(conversation: Conversation, head: int | None) -> QuerySet[Message]:
    """The messages from the start of the conversation to the one of that number."""
    path = RawSQL(NUMBERS, [conversation.pk, head, conversation.pk])  # noqa: S611 - fixed text, and parameters
    return conversation.messages.filter(number__in=path)


def leaves(conversation: Conversation) -> QuerySet[Message]:
    """The last message of each branch."""
    following = Message.objects.for_tenant(conversation.tenant_id).filter(
        conversation=conversation.pk, parent_number=OuterRef("number")
    )
    return conversation.messages.filter(~Exists(following))


def siblings(conversation: Conversation, messages: Iterable[Message]) -> dict[int | None, list[uuid.UUID]]:
    """By the number of a parent of these messages: the ids of all that follow it, in the order of writing."""
    parents = {message.parent_number for message in messages}
    rows = conversation.messages.filter(parent_number__in=parents - {None})
    if None in parents:
        rows |= conversation.messages.filter(parent_number__isnull=True)
    found: dict[int | None, list[uuid.UUID]] = defaultdict(list)
    for parent, pk in rows.order_by("number").values_list("parent_number", "pk"):
        found[parent].append(pk)
    return found


def ids_of(conversation: Conversation, numbers: Iterable[int | None]) -> dict[int | None, uuid.UUID]:
    """The ids of the messages of these numbers."""
    wanted = {number for number in numbers if number is not None}
    return dict(conversation.messages.filter(number__in=wanted).values_list("number", "pk")) if wanted else {}


@transaction.atomic
def append_message(
    *, conversation: Conversation, role: str, content: str, after: uuid.UUID | object | None = HEAD
) -> Message:
    """A message behind the head, or behind another one (None: at the start): its branch goes on from now on.

    Behind the head none may be put that a task is about to answer: its answer would come on another branch.
    """
    locked = Conversation.objects.for_tenant(conversation.tenant_id).select_for_update().get(pk=conversation.pk)
    if after is HEAD:
        parent = locked.head_number
        _require_idle(locked)
    elif isinstance(after, uuid.UUID):
        parent = message_of(locked, after, field="after_message").number
    else:
        parent = None
    last = locked.messages.aggregate(last=Max("number"))["last"] or 0
    message = Message.objects.create(
        tenant_id=locked.tenant_id,
        conversation=locked,
        number=last + 1,
        parent_number=parent,
        role=role,
        content=content,
    )
    _lead(locked, message)
    return message


@transaction.atomic
def choose_head(*, conversation: Conversation, head: uuid.UUID) -> None:
    """What is said next follows this message."""
    locked = Conversation.objects.for_tenant(conversation.tenant_id).select_for_update().get(pk=conversation.pk)
    _lead(locked, message_of(locked, head, field="head"))
    conversation.head_number = locked.head_number


def _lead(locked: Conversation, message: Message) -> None:
    locked.head_number = message.number
    locked.save(update_fields=["head_number"])


def _require_idle(locked: Conversation) -> None:
    """Raise the problem that names the task which has not ended on the branch of the head."""
    mine = Reply.objects.for_tenant(locked.tenant_id).filter(conversation=locked)
    lines = mine.filter(over=False).values("line")
    replies = [
        Standing(
            task=reply.task_id,
            line=reply.line,
            question=reply.question_number,
            after=reply.after_number,
            answer=reply.answer_number,
            superseded=reply.superseded,
            ended=reply.task.finished_at is not None,
        )
        for reply in mine.filter(line__in=lines).select_related("task").order_by("number")
    ]
    head = locked.head_number
    verdict = at_head(head=head, read_at=head, replies=replies, rule=WhenBusy.REFUSE)
    if isinstance(verdict, Busy):
        raise conversation_busy(verdict.task)
