"""The topic `worker`: one worker as it is this second, from its row, the queue and what its orchestrator shows of it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from datetime import datetime
from typing import Any

import msgspec
from django.conf import settings
from django.utils import timezone

from agents.models import Turn
from console.workers import reads
from orchestrator import wishes
from orchestrator.models import Worker
from orchestrator.signals.phases import PHASES
from staff.access import Access
from taskqueue.connections import connect
from taskqueue.failures import QueueUnavailable
from taskqueue.looks import Glimpse, Looks, Seen

_SINCE = {"starting": "started_at", "ready": "ready_at", "draining": "draining_at"}


def read(access: Access, of: str) -> dict[str, Any]:
    """`of` is the worker's id. Raises `NotFound`."""
    return snapshot(reads.find(of), now=timezone.now())


def snapshot(row: Worker, *, now: datetime) -> dict[str, Any]:
    """As plain values, ready for JSON. Of one that has ended there is nothing to be asked."""
    is_live = row.state in Worker.LIVE
    facts = _facts(row, is_live=is_live) | {"history": reads.last_hour(row, now=now)._asdict(), "turns": []}
    if not is_live:
        return {**facts, "tokens_heard": reads.tokens_heard(row), "log": row.log_tail.splitlines()}
    try:
        seen = _look(row)
    except QueueUnavailable:
        return {**facts, "blind": "Redis does not answer: what the worker does now is not known."}
    return {**facts, **_heard(row, seen), **_shown(seen.glimpse)}


def phases(of: Mapping[Any, float]) -> list[dict[str, Any]]:
    """A start's phases in their order, those that were measured."""
    return [{"name": name, "s": of[name]} for name in PHASES if name in of]


def _facts(row: Worker, *, is_live: bool) -> dict[str, Any]:
    since = getattr(row, _SINCE.get(row.state, "stopped_at"))
    pending = is_live and row.wish and not row.end_reason.endswith(f"by {row.wished_by}.")
    return {
        "state": row.state,
        "is_live": is_live,
        "since": _moment(since),
        "started_because": row.reason,
        "ended_because": row.end_reason,
        "error": row.error,
        "exit_code": row.exit_code,
        "wish": {"what": row.wish, "by": row.wished_by, "at": _moment(row.wished_at)} if pending else None,
        "may_drain": not wishes.refusal(row, Worker.Wish.DRAIN),
        "may_kill": not wishes.refusal(row, Worker.Wish.KILL),
        "slots": row.slots,
        "gpu_share": row.gpu_share,
        "started_at": _moment(row.started_at),
        "ready_at": _moment(row.ready_at),
        "phases": phases(row.start_phases),
    }


def _look(row: Worker) -> Seen:
    with closing(connect(settings.REDIS_URL)) as redis:
        return Looks(redis).look(pool=row.pool.slug, worker=str(row.pk))


def _heard(row: Worker, seen: Seen) -> dict[str, Any]:
    """What it says of itself, and what the queue knows that it holds."""
    held = {"turns": [_turn(turn) for turn in reads.turns(seen.held)], "held": len(seen.held), "now_ms": seen.now_ms}
    if not seen.statuses:
        return held
    ready_ms = min((status.ready_ms for status in seen.statuses if status.ready_ms), default=0)
    tokens = sum(status.tokens_total for status in seen.statuses)
    lived_s = (seen.now_ms - ready_ms) / 1000 if ready_ms else 0.0
    doing = seen.statuses[0]
    return {
        **held,
        "beat_age_s": round(max(0, seen.now_ms - max(status.beat_ms for status in seen.statuses)) / 1000, 1),
        "running": sum(status.running for status in seen.statuses),
        "slots": sum(status.slots for status in seen.statuses),
        "tokens_total": tokens,
        "tokens_per_s_of_life": round(tokens / lived_s, 1) if lived_s > 1 else None,
        "phases": phases(row.start_phases or doing.start_phases),
        "start_phase": doing.start_phase,
    }


def _turn(turn: Turn) -> dict[str, Any]:
    return {
        "task": str(turn.task_id),
        "number": turn.number,
        "attempt": turn.attempts,
        "tenant": turn.tenant.name or turn.tenant.slug,
        "agent": turn.task.agent.slug,
        "claimed_at": _moment(turn.claimed_at),
    }


def _shown(glimpse: Glimpse | None) -> dict[str, Any]:
    if glimpse is None:
        return {"glimpse": None}
    shown = msgspec.to_builtins(msgspec.structs.replace(glimpse, lines=()))
    return {"glimpse": shown, "log": list(glimpse.lines)}


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="seconds")
