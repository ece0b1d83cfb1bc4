"""Comparisons as they are shown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db.models.functions import MD5

from comparisons.models import Comparison, ComparisonRun
from comparisons.report import Measured, differ, totals

_OF_TASK = (
    "state", "prompt_tokens", "completion_tokens", "created_at", "started_at", "first_token_at", "finished_at",
)  # fmt: skip


def summary(comparison: Comparison) -> dict[str, Any]:
    """Both sides in sum, and how many inputs were answered otherwise. Answers are told apart in Postgres, not brought here."""
    rows = comparison.runs.order_by("number").annotate(mark=MD5("task__output"))
    fields = ("number", "side", "checks", "mark", *(f"task__{name}" for name in _OF_TASK))
    sides: dict[str, dict[int, Measured]] = {"left": {}, "right": {}}
    for row in rows.values(*fields):
        sides[row["side"]][row["number"]] = _measured(row, row["mark"])
    left, right = sides["left"], sides["right"]
    return {
        "left": totals(list(left.values())),
        "right": totals(list(right.values())),
        "differ": sum(differ(left[number], right[number]) is True for number in left),
    }


def items(comparison: Comparison, *, after: int = 0, count: int) -> Iterator[dict[str, Any]]:
    """Each input of the report in order, from behind number `after`, with both answers."""
    rows = (
        comparison.runs.filter(number__gt=after, number__lte=after + count)
        .select_related("task")
        .order_by("number", "side")
    )
    sides: dict[str, ComparisonRun] = {}
    for run in rows:
        sides[run.side] = run
        if run.side == ComparisonRun.Side.RIGHT:
            yield _item(comparison, run.number, sides["left"], run)


def _item(comparison: Comparison, number: int, left: ComparisonRun, right: ComparisonRun) -> dict[str, Any]:
    item = comparison.input_set.items[number - 1]
    measured = {side.side: _of(side) for side in (left, right)}
    return {
        "number": number,
        "messages": item["messages"],
        "differ": differ(measured["left"], measured["right"]),
        "left": _side(left, measured["left"]),
        "right": _side(right, measured["right"]),
    }


def _side(run: ComparisonRun, measured: Measured) -> dict[str, Any]:
    return {
        "task": run.task_id,
        "state": measured.state,
        "output": measured.answer or "",
        "error": run.error or (run.task.error if run.task else None),
        "checks": run.checks,
        "prompt_tokens": measured.prompt_tokens,
        "completion_tokens": measured.completion_tokens,
        "queued_s": measured.queued_s,
        "first_token_s": measured.first_token_s,
        "total_s": measured.total_s,
    }


def _of(run: ComparisonRun) -> Measured:
    row = {"checks": run.checks} | {f"task__{name}": getattr(run.task, name, None) for name in _OF_TASK}
    return _measured(row, run.task.output if run.task else None)


def _measured(row: dict[str, Any], answer: str | None) -> Measured:
    values = {name: row[f"task__{name}"] for name in _OF_TASK}
    for name in ("prompt_tokens", "completion_tokens"):
        values[name] = values[name] or 0
    return Measured(
        **{**values, "state": values["state"] or ""},
        answer=answer,
        passed=sum(check["passed"] for check in row["checks"]),
        checks=len(row["checks"]),
    )
