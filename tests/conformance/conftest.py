"""The whole API on a real web process, with a simulated worker and a real MCP server."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conformance.service import Service
from tests.faces.conftest import await_ready, free_port, live_scene, start
from tests.gpu_worker.conftest import StartWorker, start_worker
from tests.runner.conftest import mcp_server
from tests.scene import Scene

__all__ = ["live_scene", "mcp_server", "start", "start_worker"]  # fixtures
WORKER = '{"answer_tokens": 3, "context_tokens": 200, "step_base_s": 0.0005}'


@pytest.fixture
def pool(live_scene: Scene) -> str:
    """The worker serves the scene's pool."""
    return live_scene.pool.slug


@pytest.fixture
def service(
    live_scene: Scene,
    start: Callable[..., subprocess.Popen[bytes]],
    start_worker: StartWorker,
    mcp_server: tuple[str, Path],
) -> Iterator[Service]:
    """Only the MCP server of the test may be called."""
    port = free_port()
    process = start("serve", "--port", str(port), "--server", "uvicorn", OPSITE_OUTBOUND_ALLOW="127.0.0.1/32")
    start_worker(slots=8, engine_args=WORKER)
    url = f"http://127.0.0.1:{port}"
    await_ready(url, process)
    service = Service(url, live_scene, mcp_server[0])
    yield service
    print(f"{service.checked} answers checked")
    service.close()
