"""What came of runs, as Postgres has it: the whole answer, its times, tokens and cost."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import Prefetch, QuerySet

from agents.models import Task, Turn
from agents.money import cost_of
from billing.selectors import currency, money
from staff.access import Access


def tasks_of(access: Access, ids: Iterable[UUID]) -> QuerySet[Task]:
    """Those of the tasks that this member of staff may see, with what the playground shows of them."""
    turns = Turn.objects.across_tenants().order_by("number")
    rows = access.rows(Task.objects.across_tenants().filter(pk__in=list(ids)))
    return rows.select_related("pool", "agent", "revision").prefetch_related(Prefetch("turns", queryset=turns))


def result_of(task: Task) -> dict[str, Any]:
    """One run as plain values. Times are seconds from acceptance; what is not known yet, or never was, is None."""
    first_s, total_s = _since(task, task.first_token_at), _since(task, task.finished_at)
    answering_s = None if first_s is None or total_s is None else total_s - first_s
    cost = _cost(task)
    return {
        "task": str(task.pk),
        "agent": task.agent.slug,
        "revision": task.revision.number,
        "state": task.state,
        "ended": task.finished_at is not None,
        "output": task.output,
        "finish_reason": task.finish_reason,
        "error": (task.error or {}).get("message", ""),
        "prompt_tokens": task.prompt_tokens,
        "completion_tokens": task.completion_tokens,
        "model_calls": len(task.turns.all()),
        "begun_s": _since(task, task.started_at),
        "first_token_s": first_s,
        "total_s": total_s,
        "tokens_per_s": round(task.completion_tokens / answering_s, 1) if answering_s else None,
        "cost": None if cost is None else money(cost),
        "currency": currency(),
    }


def _since(task: Task, moment: datetime | None) -> float | None:
    return None if moment is None else round((moment - task.created_at).total_seconds(), 3)


def _cost(task: Task) -> Decimal | None:
    """Of its own model calls, at the prices of the moments when they ended; None where nothing has a price."""
    amounts = [
        cost_of(
            prompt_tokens=turn.prompt_tokens,
            cached_tokens=turn.cached_tokens,
            completion_tokens=turn.completion_tokens,
            prices=task.pool.token_prices,
            at=turn.finished_at,
        )
        for turn in task.turns.all()
        if turn.finished_at is not None
    ]
    known = [amount for amount in amounts if amount is not None]
    return sum(known, Decimal(0)) if known else None
