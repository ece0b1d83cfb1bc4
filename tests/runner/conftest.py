"""An agent with tools as it runs: web, recorder, effects, a scripted worker, a tool server and an MCP server, all of them real."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from agents.models import Agent, McpServer, Tool
from agents.services import create_agent
from tests.faces.conftest import PATIENCE_S, Web, await_ready, free_port, live_scene, start
from tests.gpu_worker.conftest import WorkerProcess
from tests.scene import Scene

__all__ = ["live_scene", "start"]

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


@dataclass
class ToolServer:
    """Counts what it is asked, and answers when it is let."""

    calls: list[dict[str, Any]] = field(default_factory=list)
    arrived: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    gate: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    url: str = ""

    def await_call(self) -> None:
        assert self.arrived.acquire(timeout=PATIENCE_S), "no call came"

    def let(self) -> None:
        """Answer one call."""
        self.gate.release()


@pytest.fixture
def tool_server() -> Iterator[ToolServer]:
    state = ToolServer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            given = json.loads(body)
            state.calls.append({"path": self.path, "auth": self.headers.get("authorization"), **given})
            state.arrived.release()
            state.gate.acquire(timeout=PATIENCE_S)
            answer = f"http says {given['n'] * 2}".encode()
            try:
                self.send_response(200)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)
            except OSError:
                pass  # who asked is gone

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield state
    for _ in range(100):
        state.gate.release()
    server.shutdown()
    server.server_close()


MCP_SERVER = Path(__file__).with_name("mcp_server.py")


@pytest.fixture
def mcp_server(python: str, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The address of a real MCP server, and the file in which it writes each call."""
    port, log = free_port(), tmp_path / "mcp-calls"
    process = subprocess.Popen([python, str(MCP_SERVER), str(port), str(log)])
    url = f"http://127.0.0.1:{port}/mcp"
    _await_port(url, process)
    yield url, log
    process.terminate()
    process.wait(15)


def _await_port(url: str, process: subprocess.Popen[bytes]) -> None:
    import time

    deadline = time.monotonic() + PATIENCE_S
    with httpx.Client(timeout=5, verify=False) as client:
        while time.monotonic() < deadline:
            assert process.poll() is None, "the MCP server ended"
            try:
                client.get(url)
                return
            except httpx.TransportError:
                time.sleep(0.05)
    raise AssertionError("the MCP server did not answer")


@dataclass
class Stage:
    """The processes, and how to start and kill them."""

    scene: Scene
    run: Callable[..., subprocess.Popen[bytes]]
    redis_url: str
    tmp_path: Path
    workers: list[WorkerProcess] = field(default_factory=list)
    web: Web = field(init=False)
    recorder: subprocess.Popen[bytes] = field(init=False)

    def serve_again(self) -> None:
        """A web process and a recorder, as if the earlier ones had never been."""
        port = free_port()
        process = self.run("serve", "--port", str(port), "--server", "uvicorn")
        self.recorder = self.run("record")
        self.web = Web(f"http://127.0.0.1:{port}", process, self.scene)
        await_ready(self.web.url, process)

    def effects(self) -> subprocess.Popen[bytes]:
        return self.run("effects", OPSITE_OUTBOUND_ALLOW="127.0.0.1/32")

    def embedder(self, pool: str) -> WorkerProcess:
        """A worker of another pool, whose engine gives made-up vectors."""
        return self._worker({"pool": pool, "engine": "simulated", "engine_args": '{"step_base_s": 0.001}'})

    def worker(self, *script: str, **scripts: list[str]) -> WorkerProcess:
        said = {"script": script, "scripts": scripts, "step_base_s": 0.001}
        return self._worker({"pool": self.scene.pool.slug, "engine": "scripted", "engine_args": json.dumps(said)})

    def _worker(self, settings: dict[str, str]) -> WorkerProcess:
        name = f"worker-{len(self.workers)}"
        values = {"redis_url": self.redis_url, "lease_s": 2, "worker_id": name, **settings}
        environment = {f"OPSITE_{setting.upper()}": str(value) for setting, value in values.items()}
        self.workers.append(WorkerProcess(environment, self.tmp_path / f"{name}.log"))
        return self.workers[-1]


@pytest.fixture
def stage(
    live_scene: Scene, start: Callable[..., subprocess.Popen[bytes]], redis_url: str, tmp_path: Path
) -> Iterator[Stage]:
    stage = Stage(live_scene, start, redis_url, tmp_path)
    stage.serve_again()
    yield stage
    for worker in stage.workers:
        worker.end()


def call(name: str, **arguments: Any) -> str:
    """What a model writes to have a tool called."""
    return f"<tool_call>{json.dumps({'name': name, 'arguments': arguments})}</tool_call>"


def http_tool(scene: Scene, url: str, **more: Any) -> Tool:
    return Tool.objects.create(
        **{
            "tenant": scene.ann.tenant,
            "name": "double",
            "kind": "http",
            "parameters": SCHEMA,
            "request": {"url": f"{url}/double"},
            **more,
        }
    )


def mcp_tool(scene: Scene, url: str) -> Tool:
    server = McpServer.objects.create(tenant=scene.ann.tenant, name="box", url=url)
    return Tool.objects.create(
        tenant=scene.ann.tenant, name="box_triple", kind="mcp", parameters=SCHEMA, server=server, remote_name="triple"
    )


def agent(scene: Scene, *tools: dict[str, Any], slug: str = "actor", **more: Any) -> Agent:
    return create_agent(
        tenant=scene.ann.tenant, slug=slug, name="Actor", pool=scene.pool, tools=list(tools),
        params={"max_tokens": 400}, **more,
    )  # fmt: skip
