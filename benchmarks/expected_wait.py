"""Does the wait that comes lie in the range that was told? A real service whose pool starts from zero, is flooded, and ends at
zero.

    python -m benchmarks.expected_wait --rounds 3

Embedded Postgres and Redis, one web process, the recorder, and a real orchestrator that starts and ends real worker processes
(the declared stand-in `simulated`, which takes `--startup-s` to be ready beside what Python takes). Three loads, each from a pool
at zero:

* even: one tenant, all answers of one length;
* varied: one tenant, lengths that vary as those of an exponential distribution do;
* tenants: three tenants that submit 6 : 3 : 1, lengths as in `varied`.

Tasks arrive at random (Poisson): for a while at a rate that one worker can do, then in a spike that all workers of the pool
cannot, then at the first rate again. Each task's range is that of its acceptance (`queue.expected_wait_s`); its wait runs from
its commit to its claim, as recorded. Before the rounds the pool is started `--warm-up` times, so that something is known of it;
what those tasks are told is shown as well.

*Covered* is the share of the tasks with both ends told whose wait lay within; *early* and *late* are the others. The width is
high less low.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from benchmarks.machine import command, free_port, machine, spread
from benchmarks.stack import ROOT, wait_for
from opsite.embedded.stack import EmbeddedStack
from taskqueue.async_client import AsyncQueue

POOL = "bench"
SHARES = {"first": 6, "second": 3, "third": 1}
END_S = 240.0
LOOK_S = 0.25
STEP_S = 0.02
TOKENS = 50
"""Of an answer, in the mean: a second."""

_FILL = """
import json, sys
import django; django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from agents.services import create_agent
from orchestrator.models import Pool, ScalingPolicy
from tenants.services import create_tenant, issue_key
given = json.loads(sys.argv[1])
pool = Pool.objects.create(name="bench", engine="simulated", max_waiting=0, **given["pool"])
ScalingPolicy.objects.create(pool=pool, **given["policy"])
keys = {}
for name in given["tenants"]:
    tenant = create_tenant(slug=name, name=name, max_waiting=100000)
    create_agent(tenant=tenant, slug="bench", name="bench", pool=pool)
    keys[name] = issue_key(tenant=tenant, name="bench").secret
print(json.dumps(keys))
"""


@dataclass(frozen=True, slots=True)
class Told:
    """A task: the range that it was told (None: not known), the wait that came, and the part of the load it belongs to.

    Whose it was, and what it was told of its place.
    """

    part: str
    low_s: float | None
    high_s: float | None
    waited_s: float
    tenant: str = ""
    position: int = 0
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class Judged:
    """Shares of all tasks (`told`), and of those with a whole range (the others); seconds."""

    tasks: int
    told: float
    covered: float
    early: float
    late: float
    width_s: float
    waited_s: float


def judged(tasks: Sequence[Told]) -> Judged:
    """What the ranges were worth; not a number where nothing was told."""
    ranges = [
        (one.low_s, one.high_s, one.waited_s) for one in tasks if one.low_s is not None and one.high_s is not None
    ]
    count = len(ranges) or float("nan")
    return Judged(
        tasks=len(tasks),
        told=len(ranges) / len(tasks) if tasks else float("nan"),
        covered=sum(low <= waited <= high for low, high, waited in ranges) / count,
        early=sum(waited < low for low, _, waited in ranges) / count,
        late=sum(waited > high for _, high, waited in ranges) / count,
        width_s=sum(high - low for low, high, _ in ranges) / count,
        waited_s=sum(waited for _, _, waited in ranges) / count,
    )


@dataclass(frozen=True)
class Service:
    """Where it is, and the tenants' keys."""

    url: str
    redis_url: str
    keys: Mapping[str, str]


@contextlib.contextmanager
def service(options: argparse.Namespace) -> Iterator[Service]:
    """Start everything, yield it, and end everything."""
    folder = Path(tempfile.mkdtemp(prefix="opsite-bench-"))
    folder.chmod(0o755)  # as root, Postgres runs as another user
    embedded = EmbeddedStack(folder)
    addresses = embedded.start()
    env = {
        **os.environ,
        "OPSITE_DATA_DIR": str(folder),
        "DATABASE_URL": addresses.database_url,
        "REDIS_URL": addresses.redis_url,
        "SECRET_KEY": "for a benchmark",
        "OPSITE_LOG_LEVEL": "WARNING",
        "OPSITE_STACK": folder.name,
        "OPSITE_GPUS": "",
        "DJANGO_SETTINGS_MODULE": "opsite.settings",
    }
    started: list[subprocess.Popen[bytes]] = []
    try:
        keys = _fill(env, options)
        port = free_port()
        for words in (("serve", "--port", str(port), "--server", "uvicorn"), ("record",), ("orchestrate",)):
            manage = [sys.executable, "manage.py", *words]
            started.append(subprocess.Popen(manage, cwd=ROOT, env=env, stdout=subprocess.DEVNULL))
        url = f"http://127.0.0.1:{port}"
        wait_for(f"{url}/readyz")
        yield Service(url, addresses.redis_url, keys)
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait(15)
        stop = [sys.executable, "manage.py", "stop_fleet"]
        subprocess.run(stop, cwd=ROOT, env=env, stdout=subprocess.DEVNULL, check=False)
        embedded.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _fill(env: Mapping[str, str], options: argparse.Namespace) -> dict[str, str]:
    given = {
        "pool": {
            "slug": POOL,
            "slots": options.slots,
            "engine_args": {"startup_s": options.startup_s, "step_base_s": STEP_S},
        },
        "policy": {
            "max_workers": options.workers,
            "waiting_per_worker": 2 * options.slots,
            "up_cooldown_s": 1.0,
            "down_cooldown_s": 5.0,
            "idle_to_zero_s": 3.0,
        },
        "tenants": list(SHARES),
    }
    answer = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _FILL, json.dumps(given)],
        cwd=ROOT,
        env=dict(env),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    keys: dict[str, str] = json.loads(answer.stdout.strip().splitlines()[-1])
    return keys


async def one_load(
    service: Service, queue: AsyncQueue, load: str, options: argparse.Namespace, chance: random.Random
) -> list[Told]:
    """From zero to zero."""
    await _until_empty(queue)
    rate = 0.75 * options.slots * 1.0 / (TOKENS * STEP_S)  # three quarters of what one worker can do
    parts = (
        ("rise", options.rise_s, rate),
        ("spike", options.spike_s, 2 * options.workers * rate),
        ("ebb", options.rise_s, rate),
    )
    told: list[tuple[str, str, dict[str, Any]]] = []
    async with httpx.AsyncClient(base_url=service.url, timeout=END_S) as client, asyncio.TaskGroup() as group:

        async def submit(part: str, tenant: str, tokens: int) -> None:
            ask = {"agent": "bench", "input": "Hello", "parameters": {"max_tokens": tokens, "ignore_eos": True}}
            answer = await client.post("/api/v1/tasks", json=ask, headers=_headers(service, tenant))
            answer.raise_for_status()
            told.append((part, tenant, answer.json()))

        for part, length_s, per_s in parts:
            end_at = asyncio.get_running_loop().time() + length_s
            while asyncio.get_running_loop().time() < end_at:
                await asyncio.sleep(chance.expovariate(per_s))
                group.create_task(submit(part, _tenant(load, chance), _tokens(load, chance)))
    waited = await _waits(service, queue, {task["id"] for _, _, task in told})
    return [_told(part, tenant, task, waited[task["id"]]) for part, tenant, task in told]


def _headers(service: Service, tenant: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {service.keys[tenant]}"}


def _tenant(load: str, chance: random.Random) -> str:
    names = list(SHARES)
    return chance.choices(names, list(SHARES.values()))[0] if load == "tenants" else names[0]


def _tokens(load: str, chance: random.Random) -> int:
    return TOKENS if load == "even" else min(6 * TOKENS, max(1, round(chance.expovariate(1 / TOKENS))))


def _told(part: str, tenant: str, task: dict[str, Any], waited_s: float) -> Told:
    place = task["queue"]
    expected = place["expected_wait_s"] or {"low": None, "high": None}
    return Told(part, expected["low"], expected["high"], waited_s, tenant, place["position"], place["waiting"])


async def _waits(service: Service, queue: AsyncQueue, wanted: set[str]) -> dict[str, float]:
    """The waits of all tasks by id, once the wanted ones are recorded as begun."""
    async with asyncio.timeout(END_S), httpx.AsyncClient(base_url=service.url, timeout=END_S) as client:
        while True:
            await asyncio.sleep(LOOK_S)
            if (await queue.signals()).waiting:
                continue
            tasks = [task for tenant in SHARES for task in await _tasks(client, _headers(service, tenant))]
            begun = [task for task in tasks if task["started_at"]]
            if wanted <= {task["id"] for task in begun}:
                return {task["id"]: _seconds(task["created_at"], task["started_at"]) for task in begun}


async def _tasks(client: httpx.AsyncClient, headers: dict[str, str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    page: str | None = "/api/v1/tasks?page_size=200"
    while page:
        answer = (await client.get(page, headers=headers)).json()
        found += answer["results"]
        page = answer["next"]
    return found


def _seconds(begin: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()


async def _until_empty(queue: AsyncQueue) -> None:
    """Nothing waits or runs, and no worker is there any more."""
    async with asyncio.timeout(END_S):
        while True:
            signals = await queue.signals()
            if not (signals.waiting or signals.running or signals.workers):
                return
            await asyncio.sleep(LOOK_S)


def _line(load: str, part: str, rounds: Sequence[Judged]) -> tuple[str, ...]:
    def shares(name: str) -> str:
        return spread([100 * getattr(one, name) for one in rounds], 0)

    return (
        load,
        part,
        str(round(statistics.median(one.tasks for one in rounds))),
        *(shares(name) for name in ("told", "covered", "early", "late")),
        spread([one.width_s for one in rounds]),
        spread([one.waited_s for one in rounds]),
    )


Results = dict[str, list[list[Told]]]
"""Of each load its rounds."""


async def run(service: Service, options: argparse.Namespace) -> Results:
    """All loads in all rounds."""
    chance = random.Random(options.seed)
    results: Results = {}
    queue = AsyncQueue(service.redis_url, POOL)
    try:
        for _ in range(options.warm_up):
            results.setdefault("warm-up", []).append(await one_load(service, queue, "varied", options, chance))
        for _ in range(options.rounds):
            for load in options.loads:
                results.setdefault(load, []).append(await one_load(service, queue, load, options, chance))
    finally:
        await queue.aclose()
    return results


def show(results: Results) -> None:
    """Print the table."""
    table = Table(title=f"{command()}\n{machine()}")
    for column in ("load", "part", "tasks", "told, %", "covered, %", "early, %", "late, %", "width, s", "wait, s"):
        table.add_column(column, justify="left" if column in ("load", "part") else "right")
    for load, rounds in results.items():
        for part in ("rise", "spike", "ebb"):
            of_part = [judged([one for one in tasks if one.part == part]) for tasks in rounds]
            table.add_row(*_line(load, part, of_part))
        table.add_row(*_line(load, "all", [judged(tasks) for tasks in rounds]), end_section=True)
    measured = [judged(tasks) for load, rounds in results.items() if load != "warm-up" for tasks in rounds]
    table.add_row(*_line("all loads", "", measured))
    Console(width=140).print(table)


def save(results: Results, path: Path) -> None:
    """Write each task's range and wait, one JSON object a line."""
    every = ((load, nth, one) for load, rounds in results.items() for nth, tasks in enumerate(rounds) for one in tasks)
    path.write_text("".join(f"{json.dumps({'load': load, 'round': nth, **asdict(one)})}\n" for load, nth, one in every))


def main() -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--warm-up", type=int, default=2)
    parser.add_argument(
        "--loads", nargs="+", default=["even", "varied", "tenants"], choices=["even", "varied", "tenants"]
    )
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--startup-s", type=float, default=3.0)
    parser.add_argument("--rise-s", type=float, default=12.0)
    parser.add_argument("--spike-s", type=float, default=8.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save", help="write each task's range and wait to this file, one JSON object a line")
    options = parser.parse_args()
    with service(options) as running:
        results = asyncio.run(run(running, options))
    show(results)
    if options.save:
        save(results, Path(options.save))


if __name__ == "__main__":
    main()
