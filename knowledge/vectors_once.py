"""Vectors are kept once: the tasks that embedded a document's chunks have them as their answers, until the chunks have them.

An answer is needed as long as its document is being ingested: whoever goes on for a process that died is given it again, by its
idempotency key. After that it is emptied, also where the document failed, was replaced or deleted. The recorder may write an answer
after the chunks are there, so this is no part of their transaction: a task is noted when it is made, and the note stays until the
task has ended and its answer is empty.
"""

from __future__ import annotations

import uuid

from django.db import transaction
from django.db.models import Exists, OuterRef

from agents.models import Task
from knowledge.claims import Claim
from knowledge.models import Document, EmbeddingTask

AT_ONCE = 100
"""Answers that are emptied in one transaction."""


def note(held: Claim, *, task: uuid.UUID) -> None:
    """This task embeds some of the document; twice does no harm."""
    document = held.document
    EmbeddingTask.objects.for_tenant(document.tenant_id).get_or_create(
        task_id=task,
        defaults={"tenant_id": document.tenant_id, "document": document.pk, "version": document.version},
    )


@transaction.atomic
def empty_some() -> int:
    """Empty answers that nobody needs any more; returns how many."""
    under_way = Document.objects.across_tenants().filter(
        pk=OuterRef("document"),
        version=OuterRef("version"),
        state__in=(Document.State.WAITING, Document.State.INGESTING),
    )
    noted = EmbeddingTask.objects.across_tenants()
    spent = list(
        noted.filter(~Exists(under_way), task__finished_at__isnull=False)
        .select_for_update(skip_locked=True, of=("self",))
        .values_list("task_id", flat=True)[:AT_ONCE]
    )
    if spent:
        Task.objects.across_tenants().filter(pk__in=spent).update(output="")
        noted.filter(pk__in=spent).delete()
    return len(spent)
