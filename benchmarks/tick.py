"""Does the real control loop hold its tick? 200 pools and 2,000 workers, one tick per second, on one core.

    python -m benchmarks.tick --ticks 60

The fleet is a declared stand-in that stands (benchmarks.standing_fleet): rows in a real Postgres, heartbeats twice a second in
a real Redis by a process of their own, a runtime that only says who lives. The loop, the reaper's thread, the scripts and the
workers' Redis users are the real ones. The orchestrator's process is held to one core. The first ticks, in which it learns
everything and makes the users, are shown apart.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import shutil
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.heartbeats import keep_beating
from benchmarks.machine import command, machine, quantile, spread
from opsite.embedded.stack import Addresses, EmbeddedStack

FIRST = 3
"""Ticks shown apart."""


def measure(addresses: Addresses, options: argparse.Namespace, console: Console) -> None:
    """Fill the servers, run the loop, and print."""
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    from benchmarks.standing_fleet import TimedOrchestrator, stand

    size = {"pools": options.pools, "workers": options.workers, "limited": options.limited}
    standing = stand(**size, redis_url=addresses.redis_url)
    beating = multiprocessing.get_context("spawn").Process(
        target=keep_beating, args=(addresses.redis_url, standing.workers), daemon=True
    )
    beating.start()
    time.sleep(2.0)
    cores = sorted(os.sched_getaffinity(0))
    for thread in Path("/proc/self/task").iterdir():
        os.sched_setaffinity(int(thread.name), cores[:1])
    orchestrator = TimedOrchestrator(standing, count=options.ticks + FIRST)
    begun, used = time.perf_counter(), _cpu_s()
    orchestrator.run(orchestrator.done)
    wall_s, used_s = time.perf_counter() - begun, _cpu_s() - used
    beating.terminate()
    ticks = orchestrator.ticks
    table = Table(
        "ticks", "wall, ms", "worst", "CPU of the loop, ms", "Redis round trips", "per pool", "Postgres queries"
    )
    for name, some in (
        ("first", ticks[:1]),
        ("second, third", ticks[1:FIRST]),
        (f"{options.ticks} more", ticks[FIRST:]),
    ):
        walls = [1000 * tick.wall_s for tick in some]
        trips = [tick.round_trips for tick in some]
        table.add_row(
            name,
            spread(walls),
            f"{max(walls):.1f} (p99 {quantile(walls, 0.99):.1f})",
            spread([1000 * tick.cpu_s for tick in some]),
            spread(trips, 0),
            f"{max(trips) / options.pools:.2f}",
            spread([tick.queries for tick in some], 0),
        )
    console.print(table)
    late = [after.begun_at - tick.begun_at for tick, after in zip(ticks[FIRST:], ticks[FIRST + 1 :], strict=False)]
    console.print(f"from tick to tick: {spread(late, 3)} s")
    for kept in orchestrator.histories:
        after_s = kept.begun_at - ticks[0].begun_at
        console.print(
            f"demand kept after {after_s:.0f} s: {1000 * kept.wall_s:.1f} ms, of CPU {1000 * kept.cpu_s:.1f} ms, "
            f"{kept.queries} queries"
        )
    console.print(f"the whole process, the reaper's thread and start included: {100 * used_s / wall_s:.0f} % of a core")


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Parse, start the servers, measure, end them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pools", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2000)
    parser.add_argument("--limited", type=int, default=100, help="tenants with a running limit")
    parser.add_argument("--ticks", type=int, default=60)
    parser.add_argument("--quick", action="store_true", help="ten ticks")
    options = parser.parse_args()
    if options.quick:
        options.ticks = 10
    console = Console(width=140)
    console.print(f"{command()}\n{machine()}")
    folder = Path(tempfile.mkdtemp(prefix="opsite-tick-"))
    folder.chmod(0o755)
    embedded = EmbeddedStack(folder)
    addresses = embedded.start()
    os.environ |= {
        "OPSITE_DATA_DIR": str(folder),
        "DATABASE_URL": addresses.database_url,
        "REDIS_URL": addresses.redis_url,
        "SECRET_KEY": "for a benchmark",
        "DJANGO_SETTINGS_MODULE": "opsite.settings",
        "OPSITE_GPUS": "",
    }
    try:
        measure(addresses, options, console)
    finally:
        embedded.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
