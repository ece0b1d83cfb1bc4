"""A stack of its own for each test: pools, real workers, and orchestrators in this process or as processes."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction

from orchestrator.loop import Orchestrator
from orchestrator.models import Pool, ScalingDecision, ScalingPolicy, Worker
from orchestrator.runtimes.process import ProcessRuntime
from taskqueue.messages import Record, SamplingParams, Submission, TurnBody
from taskqueue.sync_client import Queue
from tests.processes import Process, start_process

ROOT = Path(__file__).resolve().parent.parent.parent
LEADS = "this orchestrator leads"


def wait_for(condition: Callable[[], Any], *, what: str, timeout_s: float = 60.0) -> Any:
    """The condition's first true value; fails with `what` after the bound."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"not within {timeout_s:g} s: {what}")
        time.sleep(0.05)
    return value


class Site:
    """One stack of the test: what it is told, what became of it."""

    def __init__(self, env: dict[str, str], redis_url: str) -> None:
        self.env = env
        self.redis_url = redis_url
        self.folder = Path(env["OPSITE_DATA_DIR"])
        self.folder.mkdir(parents=True, exist_ok=True)
        self.runtime = ProcessRuntime(stack=env["OPSITE_STACK"], folder=self.folder / "workers", working_directory=ROOT)
        self.processes: list[Process] = []
        self.queues: list[Queue] = []

    # -- what is given -------------------------------------------------------------------------
    def pool(self, *, policy: dict[str, Any] | None = None, **fields: Any) -> Pool:
        """A pool of the simulated engine: one token in 20 ms, four slots, quick to grow and to shrink."""
        slug = f"pool-{uuid.uuid4().hex[:10]}"
        defaults: dict[str, Any] = {
            "slug": slug,
            "name": slug,
            "engine": Pool.Engine.SIMULATED,
            "engine_args": {"step_base_s": 0.02},
            "slots": 4,
            "lease_s": 2.0,
        }
        quick = {
            "max_workers": 3,
            "waiting_per_worker": 4,
            "up_cooldown_s": 0.5,
            "down_cooldown_s": 1.0,
            "idle_to_zero_s": 1.0,
        }
        with transaction.atomic():  # an orchestrator that runs never sees it without its policy
            pool = Pool.objects.create(**{**defaults, **fields})
            ScalingPolicy.objects.create(pool=pool, **{**quick, **(policy or {})})
        return pool

    def queue(self, pool: Pool) -> Queue:
        queue = Queue(self.redis_url, pool.slug)
        self.queues.append(queue)
        return queue

    def submit(
        self, pool: Pool, count: int, *, tokens: int = 20, deadline_ms: int = 0, prompt: str = "hello"
    ) -> list[str]:
        """Turns of one tenant; the answer has exactly so many tokens."""
        turns = [f"turn-{uuid.uuid4().hex}" for _ in range(count)]
        body = TurnBody(prompt=prompt, params=SamplingParams(max_tokens=tokens, ignore_eos=True))
        self.queue(pool).enqueue(
            [
                Submission(turn=turn, task=turn.replace("turn", "task"), tenant="t", body=body, deadline_ms=deadline_ms)
                for turn in turns
            ]
        )
        return turns

    # -- who acts ------------------------------------------------------------------------------
    def orchestrator(self, name: str = "a") -> Process:
        """A real orchestrator process; its log is `log(name)`."""
        with (self.folder / f"orchestrator-{name}.log").open("ab") as log:
            process = start_process("manage.py", "orchestrate", env=self.env, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def log(self, name: str = "a") -> str:
        path = self.folder / f"orchestrator-{name}.log"
        return path.read_text() if path.exists() else ""

    # -- what is seen --------------------------------------------------------------------------
    def live(self, pool: Pool) -> list[Worker]:
        return list(Worker.objects.filter(pool=pool, state__in=Worker.LIVE).order_by("started_at"))

    def ready(self, pool: Pool) -> list[Worker]:
        return [worker for worker in self.live(pool) if worker.state == Worker.State.READY]

    def pids(self) -> dict[str, int]:
        """The processes of living workers, by worker id."""
        folder = self.folder / "workers"
        return {
            instance.worker: _pid(folder / f"{instance.worker}.card")
            for instance in self.runtime.list()
            if instance.alive
        }

    def finished(self, pool: Pool) -> dict[str, Record]:
        """How turns ended."""
        records = self.queue(pool).read_records(count=10_000)
        return {record.turn: record for record in records if record.kind == "finished"}

    def reasons(self, pool: Pool) -> list[str]:
        return list(ScalingDecision.objects.filter(pool=pool).order_by("at").values_list("reason", flat=True))

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()
        self.runtime.adopt()
        for instance in self.runtime.list():
            self.runtime.kill(instance.ref)
            self.runtime.remove(instance.ref)
        for queue in self.queues:
            queue.close()


def _pid(card: Path) -> int:
    return int(json.loads(card.read_bytes())["pid"])


@pytest.fixture
def site(process_env: dict[str, str], redis_url: str, settings: Any) -> Iterator[Site]:
    """A stack; everything that it started is gone after the test."""
    env = {**process_env, "OPSITE_GPUS": "", "OPSITE_LOG_LEVEL": "INFO"}
    for name in ("OPSITE_STACK", "OPSITE_DATA_DIR", "REDIS_URL"):
        setattr(settings, name, env[name])
    site = Site(env, redis_url)
    yield site
    site.close()


@pytest.fixture
def leading(site: Site) -> Iterator[Orchestrator]:
    """A leader whose ticks the test makes."""
    orchestrator = Orchestrator()
    assert orchestrator._leadership.campaign()
    orchestrator._begin()
    yield orchestrator
    orchestrator._host.stock.close()
    orchestrator._host.fleet.close()
    orchestrator._leadership.resign()
    connection.close()


@pytest.fixture
def running(site: Site) -> Iterator[Orchestrator]:
    """An orchestrator on a thread of this process, until the test ends."""
    stop = threading.Event()
    orchestrator = Orchestrator(tick_s=0.2)
    thread = threading.Thread(target=orchestrator.run, args=(stop,), name="orchestrator")
    thread.start()
    yield orchestrator
    stop.set()
    thread.join(30)
    assert not thread.is_alive()
    connection.close()


WORKER_IMAGE = "opsite-worker:slim"


@pytest.fixture(scope="session")
def worker_image() -> str:
    """A worker image of this checkout, without an engine but the simulated one."""
    script = ROOT / "deploy" / "ci" / "worker-image.sh"
    built = subprocess.run(["bash", str(script), WORKER_IMAGE], capture_output=True, text=True, check=False)
    assert built.returncode == 0, f"{script} failed:\n{built.stdout}{built.stderr}"
    return WORKER_IMAGE
