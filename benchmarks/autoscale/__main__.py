"""Our scaling policy beside others', in virtual time: worker-hours against waiting, under a recorded trace and generated loads.

    python -m benchmarks.autoscale [--load azure steps spikes daily tenants] [--trace FILE …] [--vary [SEED]]
        [--cold-start 5 30 60 180] [--slots 16] [--standby N --warm-start S] [--fail-per-hour RATE] [--fail-start SHARE]
        [--policy KIND …] [--from-history POOL [--hours H] [--answer-share S]] [--bound] [--png FOLDER] [--assert]

`--policy` runs other kinds of ours beside the one that is judged. `--from-history` replays the recorded demand of a pool of this
installation (benchmarks.autoscale.recorded says how), under the policy that it has now, too.

A load may be varied by name (`steps/fast`, `azure/half`). `--vary` does so for all: the *tuning set*, by which settings
were chosen. `--vary SEED` takes loads instead that are drawn by that seed: a *held-out set*. `--assert` ends with 1 if a policy
is better than ours both on worker-hours and on the share that waits for too long, under any of the loads.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

from benchmarks.autoscale.comparison import Case, Comparison, compared
from benchmarks.autoscale.loads import GENERATED, VARIATIONS
from benchmarks.autoscale.report import summary, table
from orchestrator.policies.decide import POLICIES
from orchestrator.rehearsal.scene import Scene

TUNING = "tuning"
HELD_OUT = 32
DEFAULT_SLOTS = 16


def main(arguments: list[str]) -> int:
    """Parse, run, report; the exit code."""
    options = _parser().parse_args(arguments)
    names = [*options.load, *(str(path) for path in options.trace)]
    if options.vary == TUNING:
        names = [varied for name in names for varied in (name, *_varied(name))]
    elif options.vary:
        names = [f"drawn/{options.vary}/{number}" for number in range(HELD_OUT)]
    physics = Scene(
        slots=options.slots or DEFAULT_SLOTS,
        standby=options.standby,
        warm_start_s=options.warm_start,
        failures_per_hour=options.fail_per_hour,
        start_failure=options.fail_start,
        seed=options.seed,
    )
    scenes = [replace(physics, cold_start_s=cold_start_s) for cold_start_s in options.cold_start]
    cases = [Case(name, scene, bound_s=options.wait_bound, share=options.share) for scene in scenes for name in names]
    cases = [replace(case, own=[(kind, replace(case.policy, kind=kind)) for kind in options.policy]) for case in cases]
    if options.from_history:
        cases = _replayed(cases, options)
    comparisons: list[Comparison] = []
    with ProcessPoolExecutor(options.processes) as executor:
        for comparison in compared(cases, executor, bound=options.bound):
            comparisons.append(comparison)
            if not options.brief:
                print(*table(comparison), "", sep="\n", flush=True)
    print(*summary(comparisons), sep="\n")
    if options.png:
        _draw(comparisons, options.png)
    beaten = [one for one in comparisons if one.beaten_by]
    for one in beaten:
        where = f"{one.case.load}, cold start {one.case.scene.cold_start_s:g} s"
        print(f"better on both: {', '.join(score.name for score in one.beaten_by)} ({where})", file=sys.stderr)
    return 1 if beaten and options.check else 0


def _replayed(cases: list[Case], options: argparse.Namespace) -> list[Case]:
    """One case to a scene: the pool's recorded demand instead of the loads, with its slots and, beside ours, its own policy."""
    from benchmarks.autoscale.recorded import NothingRecorded, recorded, write_trace
    from orchestrator.rehearsal.load import load_of

    try:
        found = recorded(options.from_history, hours=options.hours)
    except NothingRecorded as error:
        sys.exit(str(error))
    load, begins_at = load_of(found.pool, found.minutes, seed=options.seed, answer_share=options.answer_share)
    path = Path(tempfile.mkdtemp(prefix="opsite-history-")) / f"{found.pool}.csv"
    write_trace(load, begins_at=begins_at, path=path)
    known = f"{len(load.requests)} turns in {len(found.minutes)} minutes ({found.missing} more are not known)"
    print(f"{found.pool}: {known}; kept as {path}", flush=True)
    kinds = dict.fromkeys([*options.policy, "forecast"])
    return [
        replace(
            case,
            load=str(path),
            scene=replace(case.scene, slots=options.slots or found.slots),
            own=[
                (f"{found.pool} as it is ({found.policy.kind})", found.policy),
                *((kind, replace(case.policy, kind=kind)) for kind in kinds),
            ],
            past=found.past,
            begins_at=begins_at,
        )
        for case in {one.scene.cold_start_s: one for one in cases}.values()
    ]


def _varied(name: str) -> list[str]:
    kinds = [*VARIATIONS, "seed2"] if name in GENERATED else [*VARIATIONS]
    return [f"{name}/{kind}" for kind in kinds]


def _draw(comparisons: list[Comparison], folder: Path) -> None:
    from benchmarks.autoscale.pictures import draw_frontiers, draw_timelines

    folder.mkdir(parents=True, exist_ok=True)
    for cold_start_s in dict.fromkeys(one.case.scene.cold_start_s for one in comparisons):
        chosen = [one for one in comparisons if one.case.scene.cold_start_s == cold_start_s]
        draw_frontiers(chosen, folder / f"autoscale-frontier-{cold_start_s:g}s.png")
        draw_timelines([one.case for one in chosen], folder / f"autoscale-timeline-{cold_start_s:g}s.png")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.autoscale", description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--load", nargs="*", default=["azure", *GENERATED], help="azure, a generated load, or LOAD/VARIATION"
    )
    parser.add_argument(
        "--trace", nargs="*", type=Path, default=[], help="CSV files with the columns of the Azure traces"
    )
    parser.add_argument(
        "--vary",
        nargs="?",
        const=TUNING,
        metavar="SEED",
        help="each load in its variations too, by which settings were chosen; with a seed, loads drawn by it instead",
    )
    parser.add_argument("--cold-start", nargs="*", type=float, default=[60.0], metavar="S")
    parser.add_argument("--policy", nargs="*", default=[], choices=sorted(POLICIES), help="our kinds to run as well")
    parser.add_argument("--from-history", metavar="POOL", help="its recorded demand, instead of the loads")
    parser.add_argument("--hours", type=float, default=24.0, help="how much of it: the last ones that are recorded")
    parser.add_argument("--answer-share", type=float, default=0.2, metavar="S", help="of its recorded tokens")
    parser.add_argument("--slots", type=int, help="16, or those of the recorded pool")
    parser.add_argument("--standby", type=int, default=0, metavar="N", help="workers kept prepared, at full cost")
    parser.add_argument("--warm-start", type=float, default=5.0, metavar="S", help="what a start from these takes")
    parser.add_argument("--fail-per-hour", type=float, default=0.0, metavar="RATE", help="of each ready worker")
    parser.add_argument("--fail-start", type=float, default=0.0, metavar="SHARE", help="of starts that end in nothing")
    parser.add_argument("--seed", type=int, default=1, help="of what fails")
    parser.add_argument("--wait-bound", type=float, default=5.0, metavar="S")
    parser.add_argument("--share", type=float, default=0.99, help="to be kept under the bound")
    parser.add_argument(
        "--bound", action="store_true", help="the clairvoyant's bound and policy too (a minute for each case)"
    )
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--png", type=Path, metavar="FOLDER")
    parser.add_argument("--brief", action="store_true", help="only one line for each case")
    parser.add_argument("--assert", dest="check", action="store_true")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
