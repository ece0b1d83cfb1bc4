"""Our own service for a benchmark: embedded Postgres and Redis in a fresh folder, web, recorder, and one simulated worker."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks.machine import free_port
from opsite.embedded.stack import Addresses, EmbeddedStack

ROOT = Path(__file__).resolve().parent.parent
READY_S = 90.0


@dataclass(frozen=True)
class Stack:
    """Where it is and which processes it has."""

    url: str
    key: str
    web: list[int]
    parts: dict[str, list[int]]


_POOL = """
pool = Pool.objects.create(slug="bench", name="bench", engine="simulated", slots=1024, max_waiting=0)
"""
_FILL = """
import django; django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from agents.services import create_agent
from orchestrator.models import Pool, ScalingPolicy
from tenants.services import create_tenant, issue_key
{pool}
tenant = create_tenant(slug="bench", name="bench", max_waiting=100000)
create_agent(tenant=tenant, slug="bench", name="bench", pool=pool)
print(issue_key(tenant=tenant, name="bench").secret)
"""


@dataclass
class Service:
    """Web, recorder, Postgres and Redis of a benchmark in a folder of its own; `start` adds a process to them."""

    folder: Path
    addresses: Addresses
    env: dict[str, str]
    url: str = ""
    key: str = ""
    web: int = 0
    recorder: int = 0
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, *words: str, **more: str) -> int:
        """A Python process in the service's environment; its pid."""
        process = subprocess.Popen(
            [sys.executable, *words], cwd=ROOT, env={**self.env, **more}, stdout=subprocess.DEVNULL
        )
        self.started.append(process)
        return process.pid

    def end(self, pid: int) -> None:
        """SIGTERM to one of them, and wait."""
        for process in self.started:
            if process.pid == pid:
                process.terminate()
                process.wait(15)


@contextlib.contextmanager
def our_service(*, server: str, pool: str = _POOL, **more: str) -> Iterator[Service]:
    """Start it without a worker, yield it, and end everything. `pool`: Python that makes the pool `bench`; `more`: environment."""
    folder = Path(tempfile.mkdtemp(prefix="opsite-bench-"))
    folder.chmod(0o755)
    embedded = EmbeddedStack(folder)
    addresses = embedded.start()
    env = {
        **os.environ,
        "OPSITE_DATA_DIR": str(folder),
        "DATABASE_URL": addresses.database_url,
        "REDIS_URL": addresses.redis_url,
        "SECRET_KEY": "for a benchmark",
        "OPSITE_LOG_LEVEL": "WARNING",
        **more,
    }
    service = Service(folder, addresses, env)
    try:
        service.key = _fill(env, pool)
        port = free_port()
        service.web = service.start("manage.py", "serve", "--port", str(port), "--server", server)
        service.recorder = service.start("manage.py", "record")
        service.url = f"http://127.0.0.1:{port}"
        wait_for(f"{service.url}/readyz")
        yield service
    finally:
        for process in reversed(service.started):
            process.terminate()
        for process in service.started:
            process.wait(15)
        embedded.stop()
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def our_stack(*, server: str, engine_args: Mapping[str, Any], slots: int) -> Iterator[Stack]:
    """The service with one simulated worker."""
    with our_service(server=server) as service:
        service.start(
            "-m",
            "gpu_worker",
            OPSITE_REDIS_URL=service.addresses.redis_url,
            OPSITE_POOL="bench",
            OPSITE_WORKER_ID="bench-1",
            OPSITE_ENGINE="simulated",
            OPSITE_SLOTS=str(slots),
            OPSITE_ENGINE_ARGS=json.dumps(dict(engine_args)),
            OPSITE_LOG_LEVEL="warning",
        )
        parts = {"recorder": [service.recorder], **servers(service.folder)}
        yield Stack(service.url, service.key, [service.web], parts)


def _fill(env: Mapping[str, str], pool: str) -> str:
    """Migrate, and make a tenant with an agent in the pool; returns its key."""
    answer = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _FILL.format(pool=pool)],
        cwd=ROOT,
        env={**env, "DJANGO_SETTINGS_MODULE": "opsite.settings"},
        capture_output=True,
        text=True,
        check=True,
    )
    return answer.stdout.strip().splitlines()[-1]


def servers(folder: Path) -> dict[str, list[int]]:
    """The pids of the embedded servers by their names."""
    redis = [
        process.pid
        for process in psutil.process_iter(["name", "cmdline"])
        if process.info["name"] == "redis-server" and str(folder) in " ".join(process.info["cmdline"] or [])
    ]
    postmaster = int((folder / "postgres" / "postmaster.pid").read_text().splitlines()[0])
    return {"redis": redis, "postgres": [postmaster]}


def wait_for(url: str, *, timeout_s: float = READY_S, headers: Mapping[str, str] | None = None) -> None:
    """Return when `url` answers with 200."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, headers=dict(headers or {})), timeout=5) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            pass
        if time.monotonic() > deadline:
            raise TimeoutError(f"{url} did not answer in {timeout_s:g} s")
        time.sleep(0.1)
