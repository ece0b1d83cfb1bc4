"""What a comparison found: each input side by side, and both sides in sum. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from statistics import fmean
from typing import Any, NamedTuple


class Measured(NamedTuple):
    """One run. Times are moments; None where it did not come to that. `answer` may be any mark that tells answers apart."""

    state: str
    answer: str | None
    passed: int
    checks: int
    prompt_tokens: int
    completion_tokens: int
    created_at: datetime | None
    started_at: datetime | None
    first_token_at: datetime | None
    finished_at: datetime | None

    @property
    def queued_s(self) -> float | None:
        """From acceptance until a worker began it."""
        return _between(self.created_at, self.started_at)

    @property
    def first_token_s(self) -> float | None:
        """From acceptance until its first token."""
        return _between(self.created_at, self.first_token_at)

    @property
    def total_s(self) -> float | None:
        """From acceptance until its outcome."""
        return _between(self.created_at, self.finished_at)


def totals(runs: Sequence[Measured]) -> dict[str, Any]:
    """One side in sum. Seconds are means over the runs that have them, null where none has."""
    return {
        "runs": len(runs),
        "succeeded": sum(run.state == "succeeded" for run in runs),
        "failed": sum(run.state not in ("", "queued", "running", "waiting", "succeeded") for run in runs),
        "checks_passed": sum(run.passed for run in runs),
        "checks": sum(run.checks for run in runs),
        "prompt_tokens": sum(run.prompt_tokens for run in runs),
        "completion_tokens": sum(run.completion_tokens for run in runs),
        "queued_s": _mean(run.queued_s for run in runs),
        "first_token_s": _mean(run.first_token_s for run in runs),
        "total_s": _mean(run.total_s for run in runs),
    }


def differ(left: Measured, right: Measured) -> bool | None:
    """Whether both ended otherwise; None until both have."""
    if left.finished_at is None or right.finished_at is None:
        return None
    return (left.state, left.answer) != (right.state, right.answer)


def _between(begin: datetime | None, end: datetime | None) -> float | None:
    return None if begin is None or end is None else round((end - begin).total_seconds(), 3)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(fmean(known), 3) if known else None
