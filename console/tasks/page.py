"""The page of a task as values: what the template shows of its rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.urls import reverse

from agents.lifecycle import OUTCOMES
from agents.models import Task, Turn
from agents.money import cost_of
from agents.output_forms import given
from agents.task_columns import money
from console.tasks import curl
from console.tasks.bars import Waterfall, drawn
from console.tasks.reads import TaskRows
from console.tasks.recorded import WHY, Entry, entries_of
from console.tasks.sent import Sent, Tool, asked_of, sent_in, tools_of
from console.tasks.times import attempts_of, times_of
from console.tasks.waterfall import AttemptTimes, spans_of
from orchestrator.models import Worker

CURL_SHOWN = 65_536
"""Characters of the commands that the page shows; longer ones are a file to be fetched."""


@dataclass(frozen=True, slots=True)
class Link:
    """Another page that has to do with the task; without `url` only said."""

    name: str
    text: str
    url: str = ""


@dataclass(frozen=True, slots=True)
class Held:
    """Which worker held which attempt, and why that ended."""

    turn: Turn
    attempt: AttemptTimes
    worker: Worker | None
    tokens: str
    why: str


@dataclass(frozen=True, slots=True)
class Spent:
    """What one turn, or all of them, took and cost, as it is shown."""

    of: str
    state: str
    prompt: str
    cached: str
    completion: str
    cost: str


@dataclass(frozen=True, slots=True)
class TaskPage:
    """All that the template needs beside the rows."""

    rows: TaskRows
    has_ended: bool
    links: list[Link]
    waits_for: list[Link]
    entries: list[Entry]
    waterfall: Waterfall
    attempts: list[Held]
    spent: list[Spent]
    whole: Spent
    sent: list[Sent]
    tools: list[Tool]
    asked: dict[str, Any]
    has_logprobs: bool
    curl: str
    confirm: str


def page_of(rows: TaskRows, *, now: datetime) -> TaskPage:
    """The page of a task at a moment."""
    task, options = rows.task, rows.task.options or {}
    shown = commands_of(task)
    times = times_of(task, rows.turns, rows.calls, handed_over=rows.children, is_held=rows.is_held)
    costs = [_cost(rows, turn) for turn in rows.turns]
    return TaskPage(
        rows=rows,
        has_ended=task.state in OUTCOMES,
        links=_links(rows),
        waits_for=[_task("waits for", str(reply.task_id)) for reply in rows.neighbours.waits_for],
        entries=entries_of(task, rows.turns, rows.calls),
        waterfall=drawn(spans_of(times, now=now)),
        attempts=[_held(rows, turn, attempt) for turn in rows.turns for attempt in attempts_of(turn)],
        spent=[_spent(turn, str(turn.number), cost) for turn, cost in zip(rows.turns, costs, strict=True)],
        whole=_spent(task, "all", sum(costs, Decimal(0))),
        sent=[
            sent_in(
                turn=turn.number,
                messages=task.input if turn.number == 1 else turn.context,
                use=turn.context_use,
                summarises=turn.summarises,
            )
            for turn in rows.turns
        ],
        tools=tools_of(options),
        asked={**task.params, **asked_of(options)},
        has_logprobs=bool(task.logprobs),
        curl=shown if len(shown) <= CURL_SHOWN else "",
        confirm=_confirm(rows),
    )


def commands_of(task: Task) -> str:
    """The task as commands for a shell."""
    request = curl.request_of(
        agent=task.agent.slug,
        asked=task.input,
        system_prompt=task.revision.system_prompt,
        params=task.params,
        output=given(task.output_form),
        options=task.options or {},
        has_own_tools=bool(task.revision.tools),
        priority=task.priority,
        metadata=task.metadata,
    )
    return curl.commands(request)


def _cost(rows: TaskRows, turn: Turn) -> Decimal:
    if turn.finished_at is None:
        return Decimal(0)
    cost = cost_of(
        prompt_tokens=turn.prompt_tokens,
        cached_tokens=turn.cached_tokens,
        completion_tokens=turn.completion_tokens,
        prices=rows.task.pool.token_prices,
        at=turn.finished_at,
    )
    return Decimal(0) if cost is None else cost


def _spent(row: Turn | Task, of: str, cost: Decimal) -> Spent:
    return Spent(
        of=of,
        state=row.state,
        prompt=f"{row.prompt_tokens:,}",
        cached=f"{row.cached_tokens:,}",
        completion=f"{row.completion_tokens:,}",
        cost=money(cost),
    )


def _held(rows: TaskRows, turn: Turn, attempt: AttemptTimes) -> Held:
    worker = rows.workers.get(attempt.worker)
    tokens = f"{attempt.tokens:,}"
    if attempt.ended_at is None:
        why = f"the turn ended: {turn.state}" if turn.finished_at else "it goes on"
        tokens = f"{turn.completion_tokens:,}" if turn.finished_at else "–"
    else:
        why = WHY.get(attempt.reason, "it was given up; why is not recorded")
        if worker is not None and worker.error:
            why = f"{why}: {worker.error}"
    return Held(turn, attempt, worker, tokens, why)


def _links(rows: TaskRows) -> list[Link]:
    task, links = rows.task, []
    if task.conversation is not None:
        url = reverse("admin:agents_conversation_change", args=[task.conversation_id])
        links.append(Link("conversation", str(task.conversation), url))
    if rows.neighbours.before is not None:
        links.append(_task("before it there", str(rows.neighbours.before.task_id)))
    if rows.neighbours.after is not None:
        links.append(_task("after it there", str(rows.neighbours.after.task_id)))
    if rows.batch is not None:
        links.append(Link("batch", str(rows.batch), reverse("admin:batches_batch_change", args=[rows.batch.pk])))
    if rows.firing is not None:
        url = reverse("admin:schedules_schedule_change", args=[rows.firing.schedule_id])
        links.append(Link("schedule", f"{rows.firing.schedule}, {rows.firing.nominal_at:%Y-%m-%d %H:%M} UTC", url))
    if rows.run is not None:
        url = reverse("admin:comparisons_comparison_change", args=[rows.run.comparison_id])
        links.append(Link("comparison", f"input {rows.run.number}, {rows.run.side}", url))
    if task.rerun_of_id is not None:
        links.append(_task("runs again", str(task.rerun_of_id)))
    if hasattr(task, "rerun"):
        links.append(_task("was run again as", str(task.rerun.pk)))
    if task.parent_call is not None:
        links.append(_task("handed over by", str(task.parent_call.task_id)))
    links += [_task("handed over to", str(child.pk)) for child in rows.children.values()]
    return links


def _task(name: str, task: str) -> Link:
    return Link(name, f"task …{task[-12:]}", reverse("console:task", args=[task]))


def _confirm(rows: TaskRows) -> str:
    """What running it again will do, in words."""
    task = rows.task
    name = f"{task.agent.slug} r{task.revision.number}"
    if task.is_dead_letter:
        return f"A new task of {name} goes on where this one was: no tool is called again. Its tokens are {task.tenant}'s to pay."
    words = f"A new task of {name} begins with the same input. Its tokens are {task.tenant}'s to pay."
    if task.revision.tools:
        names = ", ".join(sorted({tool["name"] for tool in (task.options or {}).get("tools", [])}))
        words += f" Its agent may call its tools anew ({names}), with all that they do." if names else ""
    if task.conversation_id:
        words += " Its answer does not go into the conversation."
    return words
