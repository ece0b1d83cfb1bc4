"""What is forgotten of batches some time after their end. Each transaction is short: others' work goes on beside it.

A batch's lines go with its end, or soon after (`batches.runner`); only what no process of effects was there for is found here.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef

from batches.models import Batch, File, Line
from tenants.scoping import TenantQuerySet

ROWS = 500
"""That go in one transaction."""


def forget_batches(*, before: datetime) -> int:
    """Batches that ended before that moment are forgotten, their files and tasks are not; returns how many went."""
    over = Batch.objects.across_tenants().filter(ended_at__lt=before).order_by("ended_at")
    _delete_in_groups(Line.objects.across_tenants().filter(batch__ended_at__lt=before))
    return _delete_in_groups(over)


def forget_files(*, before: datetime) -> int:
    """The rows of files whose content was gone before, and that no batch names any more; returns how many went."""
    batches: TenantQuerySet[Batch] = Batch.objects.across_tenants()
    named = [Exists(batches.filter(**{name: OuterRef("pk")})) for name in ("input_file", "output_file", "error_file")]
    files = File.objects.across_tenants().filter(~named[0], ~named[1], ~named[2], emptied_at__lt=before)
    return _delete_in_groups(files.order_by("emptied_at"))


def _delete_in_groups(rows: TenantQuerySet[Any]) -> int:
    gone = 0
    while some := list(rows.values_list("pk", flat=True)[:ROWS]):
        with transaction.atomic():
            rows.model._base_manager.filter(pk__in=some).delete()
        gone += len(some)
    return gone
