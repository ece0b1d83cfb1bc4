"""The service with traces and JSON logs on: real processes, each with its lines in a file, and a collector on this host."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from taskqueue.async_client import AsyncQueue
from telemetry.otel import Tracing
from tests.faces.conftest import PATIENCE_S, Web, await_ready, free_port, live_scene
from tests.gpu_worker.conftest import WorkerProcess
from tests.processes import Process, start_process
from tests.scene import Scene
from tests.telemetry.collector import Collector, collecting

__all__ = ["live_scene"]

JSON_LINES = {"OPSITE_LOG_FORMAT": "json", "OPSITE_LOG_LEVEL": "DEBUG"}


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@dataclass
class Outside:
    """A tenant's own server: a tool, which answers when it is let, and a receiver of webhooks. It keeps the headers that came."""

    url: str = ""
    tool: list[dict[str, str]] = field(default_factory=list)
    webhooks: list[dict[str, str]] = field(default_factory=list)
    arrived: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    gate: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def await_call(self) -> None:
        assert self.arrived.acquire(timeout=PATIENCE_S), "no call came"


@pytest.fixture
def outside() -> Iterator[Outside]:
    state = Outside()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            if self.path == "/tool":
                state.tool.append(headers)
                state.arrived.release()
                state.gate.acquire(timeout=PATIENCE_S)
            else:
                state.webhooks.append(headers)
            answer = b"a result that nobody exports"
            self.send_response(200)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield state
    for _ in range(100):
        state.gate.release()
    server.shutdown()
    server.server_close()


@dataclass
class Watched:
    """Processes of the service, what they wrote, and where they export to."""

    scene: Scene
    redis_url: str
    folder: Path
    env: dict[str, str]
    processes: dict[str, Process] = field(default_factory=dict)
    workers: list[WorkerProcess] = field(default_factory=list)

    def run(self, *command: str, **env: str) -> Process:
        """`manage.py …`; a process of the same command that ran before is not looked after any more."""
        return self.start("manage.py", *command, **env)

    def start(self, *command: str, **env: str) -> Process:
        """Any Python process with the service's environment."""
        path = self.folder / f"{command[1]}-{len(list(self.folder.glob('*.log')))}.log"
        with path.open("wb") as lines:
            process = start_process(*command, env={**self.env, **env}, stdout=lines, stderr=lines)
        self.processes[str(path)] = process
        return process

    def web(self, server: str = "uvicorn", **env: str) -> Web:
        port = free_port()
        process = self.run("serve", "--port", str(port), "--server", server, **env)
        web = Web(f"http://127.0.0.1:{port}", process, self.scene)
        await_ready(web.url, process)
        return web

    def worker(self, *script: str, step_s: float = 0.001) -> WorkerProcess:
        name = f"worker-{len(self.workers)}"
        environment = {
            "OPSITE_REDIS_URL": self.redis_url,
            "OPSITE_POOL": self.scene.pool.slug,
            "OPSITE_ENGINE": "scripted",
            "OPSITE_ENGINE_ARGS": json.dumps({"script": script, "step_base_s": step_s}),
            "OPSITE_LEASE_S": "2",
            "OPSITE_WORKER_ID": name,
            "OPSITE_LOG_FORMAT": self.env.get("OPSITE_LOG_FORMAT", ""),
            "OPSITE_LOG_LEVEL": "debug",
        }
        self.workers.append(WorkerProcess(environment, self.folder / f"{name}.log"))
        return self.workers[-1]

    def lines(self) -> dict[str, list[str]]:
        """What each process wrote, by the file's name."""
        return {path.stem: path.read_text().splitlines() for path in sorted(self.folder.glob("*.log"))}

    def end(self) -> None:
        """Ask all of them to end, and wait."""
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for worker in self.workers:
            worker.end()


@pytest.fixture
def watched(
    live_scene: Scene, process_env: dict[str, str], redis_url: str, tmp_path: Path, collector: Collector
) -> Iterator[Watched]:
    folder = tmp_path / "lines"
    folder.mkdir()
    traces = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "50", "OTEL_SERVICE_NAME": "ops"}
    outbound = {"OPSITE_OUTBOUND_ALLOW": "127.0.0.1/32"}
    watched = Watched(live_scene, redis_url, folder, {**process_env, **traces, **outbound, **JSON_LINES})
    yield watched
    watched.end()


@pytest.fixture
def traced(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tracing]:
    """Traces on in this very process, exported to the collector, until the test ends."""
    from telemetry import tracing

    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    on = tracing.configure("test")
    assert on is not None
    yield on
    tracing.close()
    assert tracing.active() is None


@pytest.fixture
async def queue_of_scene(live_scene: Scene, redis_url: str) -> AsyncIterator[AsyncQueue]:
    queue = AsyncQueue(redis_url, live_scene.pool.slug)
    yield queue
    await queue.aclose()
