"""Ten times the usual load for two minutes: what the fleet does, what tasks wait, and whether anything is lost.

    python -m benchmarks.spike --runtime process --png docs/pictures/spike-process.png

The whole service as it is: web, recorder, orchestrator, Postgres, Redis, and workers that the orchestrator starts as processes or
containers. Workers run the declared stand-in (`simulated` engine: 8 slots, 50 ms per step, 8 s until it is ready). Tasks arrive at
random moments (Poisson); each is streamed to its client, and held against the undisturbed text. Exit status 1 if a task is lost
or doubled, a stream has a gap, a repeat or other text, or the fleet does not shrink again.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.chaos.clients import Api, Wanted, simulated
from benchmarks.chaos.verdict import Told, Violation, breaks, taken_over, text_of
from benchmarks.machine import machine, quantile
from benchmarks.spike.picture import draw
from benchmarks.spike.story import Story, read
from benchmarks.stack import ROOT, Service, our_service

SLOTS, STEP_S, START_S = 8, 0.05, 8.0
TIMES = 10
BOUND_S = 5.0
PATIENCE_S = 240.0

_POOL = """
pool = Pool.objects.create(slug="bench", name="bench", engine="simulated", slots={slots}, runtime="{runtime}",
                           engine_args={{"step_base_s": {step_s}, "startup_s": {start_s}}})
ScalingPolicy.objects.create(pool=pool, kind="{kind}", min_workers=1, max_workers=12, waiting_per_worker={slots})
"""


def arrivals(options: argparse.Namespace) -> list[float]:
    """Moments in s: usual, ten times that, usual."""
    dice = random.Random(options.seed)
    begin, end, last = spans(options)
    moments, at = [], 0.0
    while at < last:
        rate = options.usual * (TIMES if begin <= at < end else 1)
        at += dice.expovariate(rate)
        moments.append(at)
    return moments


def spans(options: argparse.Namespace) -> tuple[float, float, float]:
    """Begin and end of the spike, and of the load."""
    return options.before_s, options.before_s + options.spike_s, options.before_s + options.spike_s + options.after_s


async def offer(service: Service, options: argparse.Namespace) -> list[tuple[Wanted, Told]]:
    """Each task at its moment, whatever became of those before it."""
    dice = random.Random(options.seed)
    api = Api([service.url], {"bench": service.key}, dice)
    begun = time.monotonic()

    async def one(number: int, at: float) -> tuple[Wanted, Told]:
        wanted = simulated(number, pool="bench", tenant="bench", rng=dice)
        await asyncio.sleep(max(0.0, begun + at - time.monotonic()))
        return wanted, await api.do(wanted)

    try:
        return list(await asyncio.gather(*(one(number, at) for number, at in enumerate(arrivals(options)))))
    finally:
        await api.aclose()


def violations(all_told: list[tuple[Wanted, Told]], story: Story) -> list[Violation]:
    """What broke a promise."""
    found: list[Violation] = []
    for wanted, told in all_told:
        if told.outcome != "succeeded":
            found.append(Violation("lost", told.key, f"it ended as {told.outcome or told.refusal or 'nothing'}"))
        if len(told.ids) > 1:
            found.append(Violation("doubled", told.key, f"{len(told.ids)} tasks"))
        found += [Violation(kind, told.key, detail) for kind, detail in breaks(told.seen)]
        if told.outcome == "succeeded" and text_of(told.seen) != wanted.text:
            found.append(Violation("text", told.key, "its text is not the undisturbed one"))
    if len(story.tasks) != len(all_told):
        found.append(Violation("doubled", "-", f"{len(all_told)} tasks were sent, Postgres has {len(story.tasks)}"))
    return found


def until(service: Service, condition: Callable[[Story], bool], *, patience_s: float) -> bool:
    """Whether it came true of the service's record."""
    give_up_at = time.monotonic() + patience_s
    while not (true := condition(read(service.addresses.database_url, begun=datetime.now(UTC), ends_at=0.0))):
        if time.monotonic() > give_up_at:
            break
        time.sleep(0.5)
    return true


def ready(story: Story) -> bool:
    """The first worker serves."""
    return any(worker.ready is not None for worker in story.workers)


def shrunk(story: Story) -> bool:
    """Half of the workers have gone: some policies keep a reserve for another such spike."""
    return 2 * sum(worker.gone is None for worker in story.workers) <= len(story.workers)


def report(console: Console, story: Story, all_told: list[tuple[Wanted, Told]], options: argparse.Namespace) -> None:
    """Waits by phase, the fleet, and each decision with its reason."""
    begin, end, last = spans(options)
    table = Table(title="waits until a worker took the task, s")
    for name in ("phase", "tasks", "p50", "p95", "p99", f"over {BOUND_S:g} s"):
        table.add_column(name, justify="left" if name == "phase" else "right")
    for name, waits in (
        ("usual", story.between(0, begin)),
        ("ten times that", story.between(begin, end)),
        ("usual again", story.between(end, last)),
    ):
        late = sum(wait > BOUND_S for wait in waits) / max(1, len(waits))
        table.add_row(
            name,
            str(len(waits)),
            *(f"{quantile(waits, share):.2f}" for share in (0.5, 0.95, 0.99)),
            f"{100 * late:.1f}%",
        )
    console.print(table)
    fleet = story.fleet()
    console.print(
        f"fleet: at most {max(there for _, _, there in fleet)} workers, {len(story.workers)} starts, "
        f"{story.worker_s() / 3600:.2f} worker-hours; streams handed over in mid-answer: "
        f"{sum(taken_over(told.seen) for _, told in all_told)}",
        highlight=False,
    )
    decisions = Table(title="decisions")
    for name in ("at, s", "workers", "reason"):
        decisions.add_column(name)
    for one in story.decisions:
        decisions.add_row(f"{one.at:.0f}", f"{one.current} → {one.desired}", one.reason)
    console.print(decisions)


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runtime", choices=["process", "docker"], default="process")
    parser.add_argument(
        "--image", default="opsite-worker:slim", help="for containers; deploy/ci/worker-image.sh makes it"
    )
    parser.add_argument("--policy", default="target_wait", help="the scaling policy's kind, with its defaults")
    parser.add_argument("--usual", type=float, default=1.5, help="tasks per second")
    parser.add_argument("--before-s", type=float, default=60.0)
    parser.add_argument("--spike-s", type=float, default=120.0)
    parser.add_argument("--after-s", type=float, default=150.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--png", type=Path, help="draw it there")
    return parser.parse_args()


def main() -> int:
    """Run, tell, judge."""
    options = parsed()
    console = Console(width=160)
    console.print(
        f"command: python -m benchmarks.spike {' '.join(sys.argv[1:])}\nmachine: {machine()}", highlight=False
    )
    pool = _POOL.format(slots=SLOTS, runtime=options.runtime, step_s=STEP_S, start_s=START_S, kind=options.policy)
    with our_service(server="uvicorn", pool=pool, OPSITE_WORKER_IMAGE=options.image) as service:
        orchestrator = service.start("manage.py", "orchestrate")
        try:
            if not until(service, ready, patience_s=PATIENCE_S):
                console.print(f"No worker was ready in {PATIENCE_S:g} s.")
                return 1
            begun = datetime.now(UTC)
            all_told = asyncio.run(offer(service, options))
            is_small = until(service, shrunk, patience_s=PATIENCE_S)
            told_s = (datetime.now(UTC) - begun).total_seconds()
            story = read(service.addresses.database_url, begun=begun, ends_at=told_s)
        finally:
            service.end(orchestrator)
            subprocess.run([sys.executable, "manage.py", "stop_fleet"], cwd=ROOT, env=service.env, check=True)
    report(console, story, all_told, options)
    begin, end, _ = spans(options)
    if options.png:
        what = "containers" if options.runtime == "docker" else "processes"
        title = f"{TIMES} times the usual load for {options.spike_s:.0f} s: real {what}, policy {options.policy}"
        draw(story, options.png, title=title, spike=(begin, end), bound_s=BOUND_S)
    wrong = violations(all_told, story)
    if not is_small:
        wrong.append(Violation("failed", "-", f"half of the fleet still stood {PATIENCE_S:g} s after the load"))
    for one in wrong[:20]:
        console.print(f"{one.kind}: {one.key}: {one.detail}", highlight=False)
    counts = ", ".join(f"{count} {state}" for state, count in story.states().items())
    console.print(f"{len(all_told)} tasks: {counts}; violations: {len(wrong)}", highlight=False)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
