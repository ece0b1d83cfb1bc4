"""Trials in processes of their own: they end with whoever waits for them."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
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


def long_one(*, most: int = 8) -> Trial:
    """It takes seconds."""
    minutes = tuple(Minute(BEGIN + 60 * number, 25, 0, 0, 0, 0) for number in range(1440))
    return Trial(
        policy=Policy(kind="target_wait", max_workers=most), turns=came(minutes, (), hold_s=4.0), begins_at=float(BEGIN),
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
    asked = asyncio.create_task(trial_runs.run([long_one(), long_one(most=7)]))
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


def short_one(*, most: int) -> Trial:
    """It takes no time but the start of its process."""
    made = long_one(most=most)
    return replace(made, turns=made.turns[:5], ends_at=made.begins_at + 60)


async def test_what_was_tried_just_now_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = []
    begin = trial_runs._process

    async def counted() -> asyncio.subprocess.Process:
        begun.append(1)
        return await begin()

    monkeypatch.setattr(trial_runs, "_process", counted)
    monkeypatch.setattr(trial_runs, "KEPT", 2)
    present, other, third = (short_one(most=most) for most in (31, 32, 33))
    first = await trial_runs.run([present, other])
    assert await trial_runs.run([present, present]) == [first[0]] * 2
    assert len(begun) == 2
    assert (await trial_runs.run([present, third]))[0] == first[0]
    assert len(begun) == 3
    await trial_runs.run([other])
    assert len(begun) == 4  # two are kept


async def test_a_trial_that_is_killed_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    async def killed() -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            "false", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )

    monkeypatch.setattr(trial_runs, "_process", killed)
    with pytest.raises(trial_runs.TooMuch, match="ended without a result"):
        await trial_runs.run([short_one(most=41)])
    assert trial_runs._running.acquire(blocking=False)
    trial_runs._running.release()
