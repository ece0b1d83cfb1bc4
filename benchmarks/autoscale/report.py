"""The comparison in text: one table to a case, and one line to each in the end, by cold start."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.autoscale.comparison import Comparison
from benchmarks.autoscale.score import Score, frontier

HEAD = f"  {'policy':<46}{'worker-h':>9}{'late %':>8}{'p50 s':>8}{'p95 s':>8}{'p99 s':>8}{'starts':>8}{'peak':>6}"


def table(comparison: Comparison) -> Iterator[str]:
    """All policies, the cheapest first. `*`: on the frontier; `!`: better than ours on both."""
    case, ours = comparison.case, comparison.ours
    scores = [ours, *comparison.others]
    best = frontier(scores)
    yield f"{case.load}, cold start {case.scene.cold_start_s:g} s, {case.scene.slots} slots, bound {case.bound_s:g} s"
    yield HEAD
    for score in sorted(scores, key=lambda one: (one.worker_hours, one.late)):
        mark = ">" if score is ours else "!" if score.beats(ours) else " "
        yield f"{mark}{'*' if score in best else ' '}{row(score)}"
    if comparison.bound_hours is not None:
        over = ours.worker_hours / comparison.bound_hours
        yield (
            f"  nobody can do with less than {comparison.bound_hours:.2f} worker-hours for {case.share:.0%}; "
            f"ours are {over:.2f} times that, with {1 - ours.late:.1%}"
        )


def row(score: Score) -> str:
    """One policy's figures."""
    return (
        f"{score.name:<46}{score.worker_hours:>9.2f}{100 * score.late:>8.2f}{score.p50_s:>8.1f}{score.p95_s:>8.1f}"
        f"{score.p99_s:>8.1f}{score.starts:>8}{score.peak:>6}"
    )


def summary(comparisons: Sequence[Comparison]) -> Iterator[str]:
    """In Markdown: one table to a cold start, one line to a load. Others are given as name: worker-hours / late."""
    for cold_start_s in dict.fromkeys(one.case.scene.cold_start_s for one in comparisons):
        yield f"### Cold start {cold_start_s:g} s"
        yield (
            "| load | Opsite: worker-hours / late | next cheaper on the others' frontier | next dearer there "
            "| better on both | bound, worker-hours | times the bound |"
        )
        yield "|---|---|---|---|---|---|---|"
        for one in comparisons:
            if one.case.scene.cold_start_s == cold_start_s:
                yield f"| {' | '.join(_cells(one))} |"
        yield ""


def _cells(one: Comparison) -> Iterator[str]:
    ours, front = one.ours, frontier(one.others)
    yield one.case.load
    yield _both(ours)
    yield next((_named(score) for score in reversed(front) if score.worker_hours < ours.worker_hours), "-")
    yield next((_named(score) for score in front if score.worker_hours >= ours.worker_hours), "-")
    yield "; ".join(_named(score) for score in frontier(one.beaten_by)) or "nobody"
    yield "-" if one.bound_hours is None else f"{one.bound_hours:.2f}"
    yield "-" if one.bound_hours is None else f"{ours.worker_hours / one.bound_hours:.2f}"


def _named(score: Score) -> str:
    return f"{score.name}: {_both(score)}"


def _both(score: Score) -> str:
    return f"{score.worker_hours:.2f} / {100 * score.late:.2f} %"
