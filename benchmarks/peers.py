"""Other gateways, started in front of the simulated upstream, for runs that are interleaved with ours."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.machine import free_port
from benchmarks.stack import ROOT, wait_for


@dataclass(frozen=True)
class Peer:
    """A gateway: its name, where it listens, its key, and the processes whose CPU is its cost."""

    name: str
    url: str
    key: str
    pids: list[int]


@contextlib.contextmanager
def upstream(engine_args: Mapping[str, Any]) -> Iterator[Peer]:
    """The simulated engine behind OpenAI's API, without a gateway."""
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "benchmarks.upstream",
        "--port",
        str(port),
        "--engine-args",
        json.dumps(dict(engine_args)),
    ]
    with _running(command, {}) as process:
        wait_for(f"http://127.0.0.1:{port}/v1/models")
        yield Peer("direct", f"http://127.0.0.1:{port}", "none", [process.pid])


@contextlib.contextmanager
def litellm(venv: Path, upstream_url: str) -> Iterator[Peer]:
    """LiteLLM's proxy with one model, no database, its defaults, and no request log to the terminal."""
    if not (venv / "bin" / "litellm").exists():
        print(f"installing litellm[proxy] into {venv}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        subprocess.run([venv / "bin" / "pip", "install", "-q", "litellm[proxy]"], check=True)
    folder = Path(tempfile.mkdtemp(prefix="opsite-litellm-"))
    config = folder / "config.yaml"
    config.write_text(
        "model_list:\n  - model_name: bench\n    litellm_params:\n"
        f"      model: openai/bench\n      api_base: {upstream_url}/v1\n      api_key: none\n"
        "general_settings:\n  master_key: sk-bench\n"
    )
    port = free_port()
    env = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION"}
    command = [str(venv / "bin" / "litellm"), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    try:
        with _running(command, env) as process:
            wait_for(f"http://127.0.0.1:{port}/health/liveliness", timeout_s=180)
            yield Peer("litellm", f"http://127.0.0.1:{port}", "sk-bench", [process.pid])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def vllm_router(venv: Path, upstream_url: str) -> Iterator[Peer]:
    """The Rust router of the vLLM project."""
    if not (venv / "bin" / "vllm-router").exists():
        print(f"installing vllm-router into {venv}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        subprocess.run([venv / "bin" / "pip", "install", "-q", "vllm-router"], check=True)
    port, metrics = free_port(), free_port()
    command = [
        str(venv / "bin" / "vllm-router"),
        "--worker-urls",
        upstream_url,
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    with _running([*command, "--prometheus-port", str(metrics)], {}) as process:
        wait_for(f"http://127.0.0.1:{port}/v1/models", timeout_s=60)
        yield Peer("vllm-router", f"http://127.0.0.1:{port}", "none", [process.pid])


@contextlib.contextmanager
def _running(command: list[str], env: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **env}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
