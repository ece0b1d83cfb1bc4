"""The whole service as real processes: two web processes, two orchestrators, a recorder, their fleet, Redis and Postgres.

The processes run under the product's own supervisor, and the product's own keeper starts dead servers again: what comes back by
itself here does so in `make up` too. Between processes and servers stand relays (benchmarks.chaos.relay).
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import psutil

from benchmarks.chaos.relay import Relay
from benchmarks.machine import free_port
from benchmarks.stack import ROOT
from opsite.embedded.stack import EmbeddedStack
from opsite.supervisor import Supervisor

FIRST_START_S = 120.0
LEASE_S = 5.0
STEP_S = 0.1
WORKERS = 3
SIMULATED, VERSE = "chaos", "verse"

_FILL = """
import json, sys
import django; django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from agents.services import create_agent
from orchestrator.models import Pool, ScalingPolicy
from tenants.services import create_tenant, issue_key
given = json.loads(sys.argv[1])
pools = []
for slug, workers, fields in given["pools"]:
    pool = Pool.objects.create(slug=slug, name=slug, lease_s=given["lease_s"], max_attempts=100, max_losses=100, **fields)
    ScalingPolicy.objects.create(pool=pool, min_workers=workers, max_workers=workers)
    pools.append(pool)
keys = {}
for name in ("montague", "capulet"):
    tenant = create_tenant(slug=name, name=name.title(), max_waiting=100000)
    for pool in pools:
        create_agent(tenant=tenant, slug=pool.slug, name=pool.slug, pool=pool)
    keys[name] = issue_key(tenant=tenant, name="chaos").secret
print(json.dumps(keys))
"""


@dataclass
class Scene:
    """Where everything is. `wanted` says how many workers each pool must have when all is well."""

    folder: Path
    stack: EmbeddedStack
    wanted: dict[str, int]
    urls: list[str] = field(default_factory=list)
    keys: dict[str, str] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    leader: str = "orchestrator-1"
    _stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.database_url, self.redis_url = self.stack.start()
        database = urlsplit(self.database_url)
        there = Path(parse_qs(database.query)["host"][0])
        relays = self.folder / "relays"
        redis = Path(urlsplit(self.redis_url).path)
        self.redis_relay = Relay(here=relays / "redis.sock", there=redis)
        self.postgres_relay = Relay(here=relays / ".s.PGSQL.5432", there=there / ".s.PGSQL.5432")
        self._env = {
            **os.environ,
            "OPSITE_DATA_DIR": str(self.folder),
            "DATABASE_URL": self.database_url.replace(f"host={there}", f"host={relays}"),
            "REDIS_URL": self.redis_url.replace(str(redis), str(relays / "redis.sock")),
            "SECRET_KEY": "for chaos",
            "OPSITE_STACK": f"chaos-{self.folder.name}",
            "PYTHONUNBUFFERED": "1",
        }
        self.supervisor = Supervisor(env=self._env, say=self._say)
        self._threads: list[threading.Thread] = []

    async def start(self) -> None:
        """Fill Postgres, start the processes, and wait until the web processes answer."""
        self.keys = await asyncio.to_thread(self._fill)
        await self.redis_relay.start()
        await self.postgres_relay.start()
        manage = [sys.executable, str(ROOT / "manage.py")]
        for number in (1, 2):
            port = free_port()
            self.urls.append(f"http://127.0.0.1:{port}")
            self.supervisor.add(f"web-{number}", [*manage, "serve", "--port", str(port)])
            self.supervisor.add(f"orchestrator-{number}", [*manage, "orchestrate"])
        self.supervisor.add("recorder", [*manage, "record"])
        self._threads = [threading.Thread(target=self.supervisor.run), threading.Thread(target=self._keep_servers)]
        for thread in self._threads:
            thread.start()

    async def stop(self) -> None:
        """End everything; what is left of it is shown nowhere."""
        self._stop.set()
        self.supervisor.stop()
        for thread in self._threads:
            await asyncio.to_thread(thread.join)
        for processes in self.workers().values():
            for process in processes.values():
                process.kill()
        await self.redis_relay.stop()
        await self.postgres_relay.stop()
        await asyncio.to_thread(self.stack.stop)
        shutil.rmtree(self.folder, ignore_errors=True)

    def alive(self) -> int:
        """How many of the supervised processes run."""
        return sum(lives(pid) for pid in self.supervisor.pids().values())

    def pid(self, name: str) -> int | None:
        """The pid of a supervised process, if it runs."""
        return self.supervisor.pids().get(name)

    def workers(self) -> dict[str, dict[str, psutil.Process]]:
        """Living workers of each pool by their ids, as the runtime's cards name them."""
        found: dict[str, dict[str, psutil.Process]] = {pool: {} for pool in self.wanted}
        for path in (self.folder / "workers").glob("*.card"):
            try:
                card = json.loads(path.read_bytes())
                if lives(card["pid"]):
                    found[card["pool"]][card["worker"]] = psutil.Process(card["pid"])
            except (OSError, ValueError, psutil.NoSuchProcess):
                continue
        return found

    def server_pids(self, name: str) -> list[int]:
        """The processes of `redis` or `postgres`, the first being the one that listens."""
        if name == "redis":
            return [
                process.pid
                for process in psutil.process_iter(["name", "cmdline"])
                if process.info["name"] == "redis-server"
                and str(self.folder) in " ".join(process.info["cmdline"] or [])
            ]
        try:
            postmaster = int((self.folder / "postgres" / "postmaster.pid").read_text().splitlines()[0])
            children = psutil.Process(postmaster).children(recursive=True)
        except (OSError, ValueError, IndexError, psutil.NoSuchProcess):
            return []
        return [postmaster, *(child.pid for child in children)]

    def _fill(self) -> dict[str, str]:
        simulated = {"engine": "simulated", "slots": 32, "engine_args": {"step_base_s": STEP_S}}
        verse = {"engine": "transformers", "slots": 8, "model": "models/opsite-verse", "engine_args": {"threads": 1}}
        fields = {SIMULATED: simulated, VERSE: verse}
        given = {"lease_s": LEASE_S, "pools": [(slug, count, fields[slug]) for slug, count in self.wanted.items()]}
        env = {**self._env, "DATABASE_URL": self.database_url, "REDIS_URL": self.redis_url}
        answer = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", _FILL, json.dumps(given)],
            cwd=ROOT,
            env={**env, "DJANGO_SETTINGS_MODULE": "opsite.settings"},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        keys: dict[str, str] = json.loads(answer.stdout.strip().splitlines()[-1])
        return keys

    def note(self, line: str) -> None:
        """For `--log`."""
        self.said.append(f"{time.monotonic():.2f} {line}")

    def _say(self, line: str) -> None:
        self.note(line)
        if "this orchestrator leads" in line:
            self.leader = line.split(" ", 1)[0]

    def _keep_servers(self) -> None:
        while not self._stop.wait(0.25):
            try:
                for server in self.stack.tend():
                    self._say(f"{server:<12} | had died, and was started again")
            except Exception as error:  # it is tried again
                self._say(f"keeper       | {error}")


def lives(pid: int) -> bool:
    """Whether a process runs, or is only stopped; one that waits to be reaped does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def build(*, with_verse: bool) -> Scene:
    """A scene in a fresh folder, its servers started."""
    folder = Path(tempfile.mkdtemp(prefix="opsite-chaos-"))
    folder.chmod(0o755)  # as root, Postgres runs as another user
    wanted = {SIMULATED: WORKERS, **({VERSE: 2} if with_verse else {})}
    return Scene(folder, EmbeddedStack(folder), wanted)


async def is_ready(url: str, *, timeout_s: float = 2.0) -> bool | None:
    """What `/readyz` says; None when it says nothing."""
    try:
        async with httpx.AsyncClient(timeout=timeout_s) as client:
            return (await client.get(f"{url}/readyz")).status_code == 200
    except httpx.HTTPError:
        return None
