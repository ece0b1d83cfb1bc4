"""Do N workers do N times the work of one? 1 to 64 simulated workers on one real Redis, tokens per second and efficiency.

    python -m benchmarks.scaling --workers 1 2 4 8 16 32 64 --rounds 3

The workers are declared stand-ins (`simulated` engine), several to a process, each with its own claim loop, lease, heartbeat and
emits; Redis and the protocol are the real ones. Streams are written to their logs; nobody follows them (the gateway's benchmark
measures following). Per round and fleet size, a run of one worker is made right before it: efficiency is the fleet's tokens/s over
N times that. The speed of a worker is set by its slots and step time, so that a core is the limit as late as possible; the table
shows how busy Redis and the worker processes were, and so where this machine, not the design, sets the limit.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import statistics
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.fleet import fleet
from benchmarks.machine import command, cpu_s, machine, spread
from opsite.embedded.redis import EmbeddedRedis
from taskqueue.async_client import AsyncQueue
from taskqueue.messages import SamplingParams, Submission, TurnBody

END_S = 300.0


@dataclass(frozen=True)
class Run:
    """One fleet at work."""

    tokens_per_s: float
    redis_busy: float
    workers_busy: float


async def one_run(url: str, redis_pids: list[int], *, workers: int, options: argparse.Namespace) -> Run:
    """Start a fleet, give it `waves` full loads, and measure from the first submission to the last record."""
    pool = f"bench-{uuid.uuid4().hex[:8]}"
    queue = AsyncQueue(url, pool)
    speed = {"step_base_s": options.step_s, "prefill_tokens_per_s": 1e9}
    size = {"workers": workers, "processes": options.processes, "slots": options.slots}
    try:
        async with fleet(url, queue, **size, engine_args=speed) as pids:
            turns = [_turn(number, options) for number in range(workers * options.slots * options.waves)]
            redis_before, workers_before, began = cpu_s(redis_pids), cpu_s(pids), time.perf_counter()
            for start in range(0, len(turns), 500):
                await queue.enqueue(turns[start : start + 500])
            left, tokens = len(turns), 0
            async with asyncio.timeout(END_S):
                while left:
                    records = await queue.read_records(count=1000, block_s=1.0)
                    ended = [record for record in records if record.kind == "finished"]
                    left -= len(ended)
                    tokens += sum(record.usage.completion_tokens for record in ended)
                    await queue.acknowledge(records, keep_log_s=0.001)
            wall = time.perf_counter() - began
            return Run(tokens / wall, (cpu_s(redis_pids) - redis_before) / wall, (cpu_s(pids) - workers_before) / wall)
    finally:
        await queue.aclose()


def _turn(number: int, options: argparse.Namespace) -> Submission:
    body = TurnBody(prompt=f"story {number}", params=SamplingParams(max_tokens=options.tokens))
    name = str(uuid.uuid4())
    return Submission(turn=name, task=name, tenant=f"tenant-{number % 10}", body=body, estimated_tokens=options.tokens)


async def all_runs(options: argparse.Namespace, console: Console) -> dict[int, list[tuple[Run, Run]]]:
    """Per fleet size, its runs, each with the run of one worker right before it."""
    folder = Path(tempfile.mkdtemp(prefix="opsite-scaling-"))
    server = EmbeddedRedis(folder)
    url = server.start()
    pids = [p.pid for p in psutil.process_iter(["name", "cmdline"]) if str(folder) in " ".join(p.info["cmdline"] or [])]
    results: dict[int, list[tuple[Run, Run]]] = {workers: [] for workers in options.workers}
    try:
        for number in range(options.rounds):
            console.print(f"round {number + 1} of {options.rounds}")
            for workers in options.workers:
                single = await one_run(url, pids, workers=1, options=options)
                fleet = single if workers == 1 else await one_run(url, pids, workers=workers, options=options)
                results[workers].append((single, fleet))
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return results


def report(console: Console, results: dict[int, list[tuple[Run, Run]]], rounds: int) -> None:
    """The table: medians over the rounds, with lowest and highest."""
    table = Table(title=f"median of {rounds} rounds (lowest–highest); busy: cores in use, of {os.cpu_count()}")
    for name in ("workers", "tokens/s", "one worker, tokens/s", "efficiency %", "Redis busy", "workers busy"):
        table.add_column(name, justify="right")
    limit = 0
    for workers, runs in results.items():
        efficiency = [100 * fleet.tokens_per_s / (workers * single.tokens_per_s) for single, fleet in runs]
        redis_busy, busy = [fleet.redis_busy for _, fleet in runs], [fleet.workers_busy for _, fleet in runs]
        if not limit and statistics.median(redis_busy) + statistics.median(busy) > 0.85 * (os.cpu_count() or 1):
            limit = workers
        table.add_row(
            str(workers), spread([fleet.tokens_per_s for _, fleet in runs], 0),
            spread([single.tokens_per_s for single, _ in runs], 0), spread(efficiency), spread(redis_busy, 2), spread(busy, 2),
        )  # fmt: skip
    console.print(table)
    console.print(
        f"From {limit} workers on, Redis and the workers together use over 85% of this machine's cores: there it is the limit."
        if limit
        else "No fleet of this run used 85% of this machine's cores."
    )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 2, 4, 8, 16, 32, 64])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--slots", type=int, default=8, help="turns that a worker runs at once")
    parser.add_argument("--step-s", type=float, default=0.1, help="time of one engine step")
    parser.add_argument("--tokens", type=int, default=40, help="per answer")
    parser.add_argument("--waves", type=int, default=2, help="how often the whole fleet is filled")
    parser.add_argument("--processes", type=int, default=4, help="processes over which a fleet is spread")
    parser.add_argument("--quick", action="store_true", help="some seconds only: no figures to quote")
    options = parser.parse_args()
    if options.quick:
        options.workers, options.rounds, options.step_s, options.tokens = [1, 4], 1, 0.05, 10
    console = Console(width=140)
    console.print(f"command: {command()}\nmachine: {machine()}", highlight=False)
    report(console, asyncio.run(all_runs(options, console)), options.rounds)


if __name__ == "__main__":
    main()
