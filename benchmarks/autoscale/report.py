"""The comparison in text: one table to a case, and one line to each in the end."""

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
    """As a table in Markdown: one line to a case."""
    yield (
        "| load | cold start, s | worker-hours | late, % | wait p99, s | bound, worker-hours | times the bound "
        "| better on both | cheapest other with no more late | its worker-hours |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for one in comparisons:
        ours, bound = one.ours, one.bound_hours
        rival = min((s for s in one.others if s.late <= ours.late), key=lambda s: s.worker_hours, default=None)
        cells = [
            one.case.load,
            f"{one.case.scene.cold_start_s:g}",
            f"{ours.worker_hours:.2f}",
            f"{100 * ours.late:.1f}",
            f"{ours.p99_s:.1f}",
            "-" if bound is None else f"{bound:.2f}",
            "-" if bound is None else f"{ours.worker_hours / bound:.2f}",
            "; ".join(score.name for score in frontier(one.beaten_by)) or "nobody",
            "-" if rival is None else rival.name,
            "-" if rival is None else f"{rival.worker_hours:.2f}",
        ]
        yield f"| {' | '.join(cells)} |"
