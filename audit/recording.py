"""Entries of what is no change of a watched row: a drain that is asked for, an export, a log-in."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from django.db.models import Model
from django.http import HttpRequest

from audit.acting import act_of, address_of
from audit.models import Entry


def record(
    request: HttpRequest,
    action: str,
    target: Model | None = None,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    tenant_id: uuid.UUID | None = None,
) -> Entry:
    """Write down what the request's user did, in the transaction that does it.

    Args:
        request: Whose, and from where.
        action: The object's kind and what was done: `pool.pause`, `worker.drain`, `task.cancel`.
        target: The object; its `tenant_id`, where it has one, says whose log it belongs to as well.
        before: What of it was otherwise before, as plain values.
        after: The same after.
        tenant_id: Whose log it belongs to, where no object says it.
    """
    act = act_of(request)
    if act is not None:
        act.is_recorded = True
    return Entry.objects.create(
        actor_kind=Entry.ActorKind.STAFF if request.user.is_authenticated else Entry.ActorKind.NOBODY,
        actor=request.user.get_username() or "nobody",
        action=action,
        object_kind=target._meta.label_lower if target is not None else "",
        object_id=str(target.pk) if target is not None else "",
        object_name=str(target)[:300] if target is not None else "",
        tenant_id=tenant_id or _tenant_of(target),
        before=dict(before) if before is not None else None,
        after=dict(after) if after is not None else None,
        address=address_of(request),
        act=None if act is None else act.id,
    )


def _tenant_of(target: Model | None) -> uuid.UUID | None:
    """Whose it is; a tenant is its own."""
    if target is None:
        return None
    return target.pk if target._meta.label_lower == "tenants.tenant" else getattr(target, "tenant_id", None)
