"""Trials in processes of their own: they end with whoever waits for them."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import psutil
import pytest

from orchestrator import trial_runs
from orchestrator.history.minutes import Minute
from orchestrator.policies.demand import Policy
from orchestrator.rehearsal.recorded import came
from orchestrator.rehearsal.trial import Starts, Trial

BEGIN = 1_800_000_000 // 86_400 * 86_400
PATIENCE_S = 60.0


def long_one() -> Trial:
    """It takes seconds."""
    minutes = tuple(Minute(BEGIN + 60 * number, 25, 0, 0, 0, 0) for number in range(1440))
    return Trial(
        policy=Policy(kind="target_wait", max_workers=8), turns=came(minutes, (), hold_s=4.0), begins_at=float(BEGIN),
        ends_at=float(BEGIN + 86_400), slots=4, turn_s=1.0, starts=Starts(cold_s=30.0, warm_s=30.0, keeps_warm_s=0.0), bound_s=5.0,
    )  # fmt: skip


def running() -> list[psutil.Process]:
    return [one for one in psutil.Process().children() if "orchestrator.rehearsal" in " ".join(_said(one))]


def _said(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


async def begun(asked: asyncio.Task[Any], count: int) -> None:
    """Wait until so many trials run, of those that are asked for."""
    deadline = time.monotonic() + PATIENCE_S
    while len(running()) < count:
        assert not asked.done()
        assert time.monotonic() < deadline, "no trial has begun"
        await asyncio.sleep(0.02)


async def test_who_gives_up_ends_the_trial() -> None:
    asked = asyncio.create_task(trial_runs.run([long_one(), long_one()]))
    await begun(asked, 2)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert running() == []
    assert trial_runs._running.acquire(blocking=False)  # its place is free
    trial_runs._running.release()


async def test_while_one_runs_the_loop_goes_on() -> None:
    asked = asyncio.create_task(trial_runs.run([long_one()]))
    await begun(asked, 1)
    for _ in range(10):
        await asyncio.sleep(0)
    assert running()
    assert not asked.done()
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
