"""Is the console as quick with a million tasks as with ten? Its lists and its overview, with 1,000 tenants and 200 workers.

    python -m benchmarks.console --assert
    python -m benchmarks.console --tasks 20000 --requests 5      (short)

Postgres and Redis are the embedded ones in a folder of their own (`--folder` keeps it for the next run). Pages are asked for by
Django's test client, without a network, in this process, which has loaded what a web process loads: what is measured is the
console's work and Postgres'. `--assert` ends with status 1 if a p95 of the task list or of the overview is 300 ms or more.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.machine import machine, quantile
from opsite.embedded.stack import EmbeddedStack

GOAL_S = 0.3
WARM_UP = 2


@dataclass
class Timed:
    """What the requests of one page took, in seconds: by the clock, of this process' CPU, and waiting for Postgres."""

    is_bounded: bool
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    postgres: list[float] = field(default_factory=list)


def main(words: list[str]) -> int:
    """The command line; the exit status."""
    parser = argparse.ArgumentParser(description="The console with a million tasks.")
    parser.add_argument("--tasks", type=int, default=1_000_000)
    parser.add_argument("--tenants", type=int, default=1_000)
    parser.add_argument("--workers", type=int, default=200)
    parser.add_argument("--decisions", type=int, default=20_000)
    parser.add_argument("--conversations", type=int, default=40_000)
    parser.add_argument("--requests", type=int, default=40, help="of each page")
    parser.add_argument("--folder", type=Path, help="keeps the database for the next run")
    parser.add_argument("--assert", dest="must", action="store_true", help="fail if the goal is missed")
    options = parser.parse_args(words)
    console = Console(width=120)
    console.print(f"command: {shlex.join(['python', '-m', 'benchmarks.console', *words])}", highlight=False)
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    console.print(f"machine: {machine()}; load before: {load}\n", highlight=False)
    with _servers(options.folder):
        _prepare(options, console)
        timed = _measure(options.requests)
    missed = _show(timed, console)
    return 1 if options.must and missed else 0


@contextlib.contextmanager
def _servers(kept: Path | None) -> Iterator[None]:
    folder = kept or Path(tempfile.mkdtemp(prefix="opsite-bench-"))
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    stack = EmbeddedStack(folder)
    addresses = stack.start()
    os.environ.update(
        DATABASE_URL=addresses.database_url, REDIS_URL=addresses.redis_url, OPSITE_DATA_DIR=str(folder),
        SECRET_KEY="for a benchmark", DJANGO_SETTINGS_MODULE="opsite.settings", OPSITE_LOG_LEVEL="WARNING",
    )  # fmt: skip
    try:
        yield
    finally:
        stack.stop()
        if kept is None:
            shutil.rmtree(folder, ignore_errors=True)


def _prepare(options: argparse.Namespace, console: Console) -> None:
    from django.core.management import call_command

    import opsite.asgi  # noqa: F401 - all that a web process has loaded before it serves

    call_command("migrate", verbosity=0)
    from django.utils import timezone

    from agents.models import Task
    from benchmarks.console.fill import fill

    if not Task.objects.across_tenants().exists():
        begun = time.monotonic()
        sizes = {name: getattr(options, name) for name in ("tasks", "tenants", "workers", "decisions", "conversations")}
        fill(**sizes, now=timezone.now(), say=lambda line: console.print(line, highlight=False))
        console.print(f"filled in {time.monotonic() - begun:.0f} s\n", highlight=False)


def _measure(requests: int) -> dict[str, Timed]:
    """By name, all pages in turn, so that what else the machine does falls on all of them."""
    from django.contrib.auth.models import User
    from django.db import connection
    from django.test import Client
    from django.utils import timezone

    from benchmarks.console.looks import looks
    from console.topics import TOPICS
    from staff.access import Access, Role

    operator, _ = User.objects.get_or_create(username="operator", is_staff=True, is_superuser=True)
    client = Client(SERVER_NAME="localhost")
    client.force_login(operator)

    def page(address: str) -> Callable[[], None]:
        def ask() -> None:
            answer = client.get(address)
            if answer.status_code != 200:
                raise RuntimeError(f"{address} answered {answer.status_code}")

        return ask

    asked: dict[str, tuple[bool, Callable[[], object]]] = {
        look.name: (look.is_bounded, page(look.address)) for look in looks(now=timezone.now())
    }
    snapshot = TOPICS["overview"].read
    asked["overview, a snapshot on its websocket"] = (True, lambda: snapshot(Access(Role.OPERATOR), ""))
    waited = 0.0

    def wait(execute: Any, *words: Any) -> Any:
        nonlocal waited
        begun = time.perf_counter()
        try:
            return execute(*words)
        finally:
            waited += time.perf_counter() - begun

    timed = {name: Timed(is_bounded) for name, (is_bounded, _) in asked.items()}
    with connection.execute_wrapper(wait):
        for number in range(WARM_UP + requests):
            for name, (_, ask) in asked.items():
                waited, begun, used = 0.0, time.perf_counter(), time.process_time()
                ask()
                if number >= WARM_UP:
                    timed[name].wall.append(time.perf_counter() - begun)
                    timed[name].cpu.append(time.process_time() - used)
                    timed[name].postgres.append(waited)
    return timed


def _show(timed: dict[str, Timed], console: Console) -> list[str]:
    """Print, and say which pages missed the goal."""
    table = Table("page", "p50, ms", "p95, ms", "all, ms", "CPU, ms", "Postgres, ms", f"p95 < {1000 * GOAL_S:.0f} ms")
    missed = []
    for name, one in timed.items():
        p95 = quantile(one.wall, 0.95)
        if one.is_bounded and p95 >= GOAL_S:
            missed.append(name)
        verdict = ("missed" if p95 >= GOAL_S else "met") if one.is_bounded else ""
        spread = f"{1000 * min(one.wall):.0f}–{1000 * max(one.wall):.0f}"
        middle = [_ms(one.wall), f"{1000 * p95:.0f}", spread, _ms(one.cpu), _ms(one.postgres)]
        table.add_row(name, *middle, verdict)
    console.print(table)
    console.print("CPU: of the web process; both it and Postgres: the median of the requests.", highlight=False)
    return missed


def _ms(seconds: list[float]) -> str:
    return f"{1000 * quantile(seconds, 0.5):.0f}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
