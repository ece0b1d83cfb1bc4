"""A database as the service leaves it after a month."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from benchmarks.console import pouring
from benchmarks.console.crowd import fill_crowd
from benchmarks.console.work import fill_work


def fill(
    *,
    tasks: int,
    tenants: int,
    workers: int,
    decisions: int,
    conversations: int,
    now: datetime,
    say: Callable[[str], None] = lambda _: None,
) -> None:
    """Write so many rows; usage is counted by the triggers that count it always."""
    pouring.prepare()
    fill_crowd(tenants=tenants, workers=workers, decisions=decisions, now=now)
    fill_work(tasks=tasks, conversations=conversations, now=now, say=say)
