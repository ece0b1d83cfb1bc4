"""The comparison drawn: the frontier of each load, and the fleet beside its queue over time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from benchmarks.autoscale.comparison import Case, Comparison
from benchmarks.autoscale.loads import named
from benchmarks.autoscale.score import frontier, judged
from orchestrator.rehearsal.scaler import Ours
from orchestrator.rehearsal.scene import Outcome

INK = "#1f2933"
OURS = "#c2410c"
COLOURS = {
    "fixed": "#9aa5b1",
    "Knative": "#2563eb",
    "AIBrix": "#60a5fa",
    "KEDA": "#059669",
    "Ray Serve": "#7c3aed",
    "SkyServe": "#b45309",
    "Dynamo": "#65a30d",
    "LangGraph": "#db2777",
}


def draw_frontiers(comparisons: Sequence[Comparison], path: Path) -> None:
    """One panel to a case: worker-hours against the share that waited for too long; the line joins those that none beats."""
    count = len(comparisons)
    figure, panels = plt.subplots(1, count, figsize=(4.2 * count, 4.2), squeeze=False, layout="constrained")
    for panel, one in zip(panels[0], comparisons, strict=True):
        for family, colour in COLOURS.items():
            scores = [score for score in one.others if score.family == family]
            across, up = [s.worker_hours for s in scores], [100 * s.late for s in scores]
            panel.scatter(across, up, s=16, color=colour, label=family, alpha=0.8)
        best = frontier(one.others)
        panel.step([s.worker_hours for s in best], [100 * s.late for s in best], where="post", color=INK, lw=0.8)
        panel.scatter([one.ours.worker_hours], [100 * one.ours.late], s=110, marker="*", color=OURS, label="Opsite")
        if one.foreseen is not None:
            panel.axvline(one.foreseen.bound_hours, color=INK, ls=":", lw=1)
            if (plan := one.foreseen.planned) is not None:
                panel.scatter([plan.worker_hours], [100 * plan.late], s=60, marker="D", color=INK, label="clairvoyant")
        panel.set_xlim(0, 3 * one.ours.worker_hours)
        panel.set_yscale("symlog", linthresh=1)
        panel.set_ylim(-0.1, 100)
        panel.set_title(f"{one.case.load}, cold start {one.case.scene.cold_start_s:g} s", fontsize=10)
        panel.set_xlabel("worker-hours")
        panel.grid(alpha=0.2)
    panels[0][0].set_ylabel(f"waited over {comparisons[0].case.bound_s:g} s, %")
    panels[0][-1].legend(fontsize=7, loc="upper right")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def draw_timelines(cases: Sequence[Case], path: Path) -> None:
    """One panel to a case: arrivals, the queue, and the fleet under our policy."""
    figure, panels = plt.subplots(
        len(cases), 1, figsize=(10, 2.4 * len(cases)), squeeze=False, sharex=False, layout="constrained"
    )
    for panel, case in zip(panels[:, 0], cases, strict=True):
        load = named(case.load)
        _, outcome = judged(load, case.scene, Ours(case.policy), family="Opsite", bound_s=case.bound_s)
        _timeline(panel, case, outcome)
    panels[-1, 0].set_xlabel("minutes")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _timeline(panel: Axes, case: Case, outcome: Outcome) -> None:
    minutes = [moment.at / 60 for moment in outcome.timeline]
    bucket_s = 10
    counts = [0.0] * (int(named(case.load).ends_at // bucket_s) + 1)
    for request in named(case.load).requests:
        counts[int(request.at // bucket_s)] += 1 / bucket_s
    panel.fill_between(
        [place * bucket_s / 60 for place in range(len(counts))], counts, step="post", color="#9aa5b1", alpha=0.5, lw=0
    )
    panel.set_ylabel("arrivals per s", color="#52606d")
    panel.set_title(f"{case.load}, cold start {case.scene.cold_start_s:g} s", fontsize=10, loc="left")
    fleet = panel.twinx()
    fleet.step(minutes, [m.ready + m.starting for m in outcome.timeline], where="post", color=OURS, lw=1, ls=":")
    fleet.step(minutes, [m.ready for m in outcome.timeline], where="post", color=OURS, lw=1.5, label="workers ready")
    waits = [m.waiting / 100 for m in outcome.timeline]
    fleet.plot(minutes, waits, color="#2563eb", lw=1, label="hundreds waiting")
    fleet.set_ylim(0, None)
    fleet.set_ylabel("workers", color=OURS)
    fleet.legend(fontsize=7, loc="upper right")
