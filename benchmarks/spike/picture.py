"""The run as a picture: what arrived, the fleet, and what tasks waited."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

from benchmarks.spike.story import BIN_S, Story


def draw(story: Story, path: Path, *, title: str, spike: tuple[float, float], bound_s: float) -> None:
    """A PNG of two panels over the same seconds."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, (load, waits) = plt.subplots(
        2, 1, sharex=True, figsize=(9, 5.5), height_ratios=(3, 2), layout="constrained"
    )
    figure.suptitle(title, fontsize=11)
    seconds, ready, there = zip(*story.fleet(), strict=True)
    load.fill_between(seconds, there, step="post", color="#d8cdf5", label="workers starting or ready")
    load.step(seconds, ready, where="post", color="#5b21b6", label="workers ready")
    load.set_ylabel("workers")
    load.set_ylim(bottom=0)
    arrivals = load.twinx()
    begins, counts, p99 = zip(*story.bins(0.99), strict=True)
    arrivals.step(
        begins,
        [count / BIN_S for count in counts],
        where="post",
        color="#b45309",
        linewidth=1,
        label="tasks per second",
    )
    arrivals.set_ylabel("tasks per second")
    arrivals.set_ylim(bottom=0)
    lines = [*load.get_legend_handles_labels()[0], *arrivals.get_legend_handles_labels()[0]]
    load.legend(lines, [line.get_label() for line in lines], loc="upper right", fontsize=8)
    middles = [begin + BIN_S / 2 for begin in begins]
    waits.plot(middles, p99, marker="o", markersize=3, color="#be123c", label="99% waited less")
    _, _, p50 = zip(*story.bins(0.5), strict=True)
    waits.plot(middles, p50, color="#64748b", label="half waited less")
    waits.axhline(bound_s, color="#94a3b8", linestyle=":", linewidth=1)
    waits.set_ylabel("wait, s")
    waits.set_xlabel("seconds; shaded: ten times the usual")
    waits.set_ylim(bottom=0)
    waits.legend(loc="upper right", fontsize=8)
    for panel in (load, waits):
        panel.axvspan(*spike, color="#fef3c7", zorder=-1)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
