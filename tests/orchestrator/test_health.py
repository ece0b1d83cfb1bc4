"""What is made of a worker that is silent, late, or has ended: tables."""

from __future__ import annotations

import pytest

from orchestrator.health import Bounds, ended, fault
from orchestrator.runtimes.pulling import PullProgress

BOUNDS = Bounds(start_s=600, lease_s=5)


@pytest.mark.parametrize(
    ("state", "begun_at", "last_seen_at", "faulty"),
    [
        ("starting", 401, 0, False),
        ("starting", 399, 0, True),
        ("starting", None, 0, False),
        ("ready", 0, 985, False),
        ("ready", 0, 984, True),
        ("draining", 0, 0, False),
    ],
)
def test_fault(state: str, begun_at: float | None, last_seen_at: float, faulty: bool) -> None:
    assert bool(fault(state=state, begun_at=begun_at, last_seen_at=last_seen_at, now=1000, bounds=BOUNDS)) is faulty  # type: ignore[arg-type]


LINE = "noise\nopsite-worker: error: no such folder\nmore noise"


@pytest.mark.parametrize(
    ("state", "exit_code", "log", "expected", "says"),
    [
        ("draining", 0, "", "stopped", ""),
        ("draining", None, "", "stopped", ""),
        ("draining", -9, "", "stopped", ""),
        ("ready", 0, "", "stopped", ""),
        ("starting", 0, "", "failed", "before it was ready"),
        ("starting", 78, LINE, "failed", "no such folder"),
        ("starting", None, LINE, "failed", "no such folder"),
        ("starting", 78, "", "failed", "exit code 78"),
        ("ready", -9, "", "failed", "signal 9"),
        ("ready", 137, "", "failed", "signal 9"),
        ("ready", -11, "", "failed", "signal 11"),
        ("ready", 3, "", "failed", "exit code 3"),
        ("ready", 75, "opsite-worker: error: Redis is gone", "failed", "Redis is gone"),
        ("ready", None, "", "failed", "not known"),
    ],
)
def test_ended(state: str, exit_code: int | None, log: str, expected: str, says: str) -> None:
    end = ended(state=state, exit_code=exit_code, log_tail=log)  # type: ignore[arg-type]
    assert end.state == expected
    assert says in end.error
    assert bool(end.error) is bool(says)


def test_a_pull_speaks_every_few_percent() -> None:
    pull = PullProgress()
    said = [
        words
        for done in range(101)
        if (
            words := pull.told(
                {"id": "a", "status": "Downloading", "progressDetail": {"current": done << 20, "total": 100 << 20}}
            )
        )
    ]
    assert said[0] == "0% of 100 MiB"
    assert said[-1] == "100% of 100 MiB"
    assert len(said) == 21
    assert pull.told({"status": "Digest: sha256:…"}) is None
