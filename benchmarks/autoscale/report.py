"""The comparison in text: one table to a case, and one line to each in the end, by cold start."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from benchmarks.autoscale.comparison import Comparison
from benchmarks.autoscale.score import Score, frontier

HEAD = f"  {'policy':<46}{'worker-h':>9}{'late %':>8}{'p50 s':>8}{'p95 s':>8}{'p99 s':>8}{'starts':>8}{'peak':>6}"


def table(comparison: Comparison) -> Iterator[str]:
    """All policies, the cheapest first. `*`: on the frontier; `>`, `+`: ours, and our others; `!`: better than ours on both."""
    case, ours = comparison.case, comparison.ours
    scores = [ours, *comparison.own, *comparison.others]
    best = frontier(scores)
    yield f"{case.load}, cold start {case.scene.cold_start_s:g} s, {case.scene.slots} slots, bound {case.bound_s:g} s"
    yield HEAD
    for score in sorted(scores, key=lambda one: (one.worker_hours, one.late)):
        mark = ">" if score is ours else "+" if score in comparison.own else "!" if score.beats(ours) else " "
        yield f"{mark}{'*' if score in best else ' '}{row(score)}"
    if (known := comparison.foreseen) is not None:
        over = ours.worker_hours / known.bound_hours
        yield (
            f"  nobody can do with less than {known.bound_hours:.2f} worker-hours for {case.share:.0%}; "
            f"ours are {over:.2f} times that, with {1 - ours.late:.1%}"
        )
        if known.planned is not None:
            yield f"  who knows the load before can have it for {known.planned.worker_hours:.2f}"


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
            "| better on both |"
        )
        yield "|---|---|---|---|---|"
        chosen = [one for one in comparisons if one.case.scene.cold_start_s == cold_start_s]
        for one in chosen:
            yield f"| {' | '.join(_cells(one))} |"
        yield ""
        yield (
            f"Somebody is better on both under {sum(bool(one.beaten_by) for one in chosen)} of {len(chosen)} loads; "
            f"ours keeps the share under {sum(one.ours.late <= 1 - one.case.share for one in chosen)}."
        )
        yield ""
        if any(one.foreseen for one in chosen):
            yield from _foresight(chosen)


def _foresight(comparisons: Sequence[Comparison]) -> Iterator[str]:
    """Beside those who know the load. *Just*: ours with the cheapest of the tried wait bounds that keeps the share."""
    yield (
        "| load | bound, worker-hours | clairvoyant policy | ours, times the bound | times that policy "
        "| ours just at the share: worker-hours (told) | times the bound | times that policy |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for one in comparisons:
        known = one.foreseen
        if known is None:
            continue
        plan = known.planned.worker_hours if known.planned else math.nan
        just = known.just.worker_hours if known.just else math.nan
        figures = [one.ours.worker_hours / known.bound_hours, one.ours.worker_hours / plan]
        told = "-" if known.just is None else f"{just:.2f} ({known.setting_s:g} s)"
        cells = [one.case.load, f"{known.bound_hours:.2f}", _figure(plan), *map(_figure, figures), told]
        yield f"| {' | '.join([*cells, _figure(just / known.bound_hours), _figure(just / plan)])} |"
    yield ""


def _figure(number: float) -> str:
    return "-" if math.isnan(number) else f"{number:.2f}"


def _cells(one: Comparison) -> Iterator[str]:
    ours, front = one.ours, frontier(one.others)
    yield one.case.load
    yield _both(ours)
    yield next((_named(score) for score in reversed(front) if score.worker_hours < ours.worker_hours), "-")
    yield next((_named(score) for score in front if score.worker_hours >= ours.worker_hours), "-")
    yield "; ".join(_named(score) for score in frontier(one.beaten_by)) or "nobody"


def _named(score: Score) -> str:
    return f"{score.name}: {_both(score)}"


def _both(score: Score) -> str:
    return f"{score.worker_hours:.2f} / {100 * score.late:.2f} %"
