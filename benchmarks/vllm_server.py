"""What the whole service costs around real vLLM: its streams beside those of vLLM's own server, on one machine, interleaved.

    python -m benchmarks.vllm_server --worker-python .venv-vllm/bin/python --shape small --at-once 1 8
    python -m benchmarks.vllm_server --worker-python python3 --shape 8b --at-once 1 16 64 256

Both serve the same model with the same engine arguments: Llama's architecture with random weights, since speed does not depend
on what they are, and the demo model's tokenizer. Ours is the whole way: HTTP, acceptance in Postgres, the queue in Redis, a
worker that the orchestrator started (and found a GPU for), the stream back, the record. Theirs is
`vllm.entrypoints.openai.api_server`. Every answer has exactly `--tokens` tokens (`ignore_eos`); prompts differ from each other,
so no prefix is cached. A round measures each in turn at each concurrency.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.load import Measured, Plan
from benchmarks.machine import command, free_port, machine, quantile, spread
from benchmarks.stack import ROOT, Service, our_service, wait_for

TOKENIZER = ROOT / "models" / "opsite-verse"
START_S = 420.0
SHAPES: dict[str, dict[str, int]] = {
    "small": {"hidden_size": 256, "intermediate_size": 704, "num_hidden_layers": 5, "num_attention_heads": 4,
              "num_key_value_heads": 2, "head_dim": 64},
    "8b": {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
           "num_key_value_heads": 8, "head_dim": 128},
}  # fmt: skip
"""`8b` is the shape of Llama 3.1 8B, but for the vocabulary, which is the tokenizer's 2,048."""
SAMPLING = {"temperature": 1.0, "top_p": 1.0}
"""Said by both: their defaults differ."""

_POOL = """
pool = Pool.objects.create(slug="bench", name="bench", max_waiting=0, **__import__("json").loads({pool!r}))
ScalingPolicy.objects.create(pool=pool, min_workers=1, max_workers=1)
"""
_WORKER = """
import django; django.setup()
from orchestrator.models import Worker
worker = Worker.objects.order_by("created_at").last()
print(__import__("json").dumps({"phases": worker.start_phases, "gpus": worker.gpus}))
"""


@dataclass
class Cell:
    """One server at one concurrency, over all rounds."""

    tokens_per_s: list[float] = field(default_factory=list)
    first_p50_ms: list[float] = field(default_factory=list)
    first_p99_ms: list[float] = field(default_factory=list)
    failed: int = 0


@contextlib.contextmanager
def model_folder(shape: str) -> Iterator[Path]:
    """A model without weights: the tokenizer's folder, its configuration in another shape."""
    folder = Path(tempfile.mkdtemp(prefix="opsite-shape-"))
    folder.chmod(0o755)
    try:
        for file in TOKENIZER.iterdir():
            if file.suffix != ".safetensors":
                shutil.copy(file, folder / file.name)
        config = json.loads((TOKENIZER / "config.json").read_text()) | SHAPES[shape] | {"max_position_embeddings": 4096}
        (folder / "config.json").write_text(json.dumps(config))
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def engine_args(options: argparse.Namespace) -> dict[str, Any]:
    """Fields of `AsyncEngineArgs`, the same for both."""
    given = {"load_format": "dummy", "max_model_len": 4096, "max_num_seqs": max(options.at_once)}
    return given | dict(json.loads(options.engine_args))


@contextlib.contextmanager
def ours(model: Path, options: argparse.Namespace) -> Iterator[Service]:
    """The service, its orchestrator, and the worker once it is ready."""
    pool = {
        "engine": "vllm",
        "model": str(model),
        "engine_args": engine_args(options),
        "slots": max(options.at_once),
        "gpus_per_worker": options.gpus,
        "default_params": {"ignore_eos": True},
        "env": {"OPSITE_WORKER_PYTHON": options.worker_python, **dict(one.split("=", 1) for one in options.env)},
    }
    with our_service(server="uvicorn", pool=_POOL.format(pool=json.dumps(pool))) as service:
        service.start("manage.py", "orchestrate")
        run(service.url, service.key, Plan(url="", key="", concurrency=1, requests=1, max_tokens=8), timeout_s=START_S)
        yield service


def started(service: Service) -> dict[str, Any]:
    """What the worker's start took, phase by phase in seconds, and which GPUs it was given."""
    answer = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _WORKER],
        cwd=ROOT,
        env={**service.env, "DJANGO_SETTINGS_MODULE": "opsite.settings"},
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(json.loads(answer.stdout.strip().splitlines()[-1]))


@contextlib.contextmanager
def theirs(model: Path, options: argparse.Namespace) -> Iterator[str]:
    """The server that vLLM brings; yields its URL."""
    port = free_port()
    words = [
        options.worker_python,
        "-m",
        "vllm.entrypoints.openai.api_server",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    words += ["--model", str(model), "--served-model-name", "bench"]
    for name, value in engine_args(options).items():
        flag = f"--{name.replace('_', '-')}"
        words += [flag] if value is True else [flag, str(value)]
    env = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        **dict(one.split("=", 1) for one in options.env),
    }
    with (Path(options.log) if options.log else Path(os.devnull)).open("wb") as log:
        process = subprocess.Popen(words, cwd=ROOT, env=env, stdout=log, stderr=log)
        try:
            wait_for(f"http://127.0.0.1:{port}/v1/models", timeout_s=START_S)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()


def run(url: str, key: str, plan: Plan, *, timeout_s: float = START_S) -> Measured:
    """One run of the load generator in its own process; raises `RuntimeError` where no request came through."""
    plan = msgspec.structs.replace(plan, url=url, key=key, timeout_s=timeout_s)
    answer = subprocess.run(
        [sys.executable, "-m", "benchmarks.load", msgspec.json.encode(plan).decode()],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    measured = msgspec.json.decode(answer.stdout, type=Measured)
    if not measured.first_s:
        raise RuntimeError(f"{url}: {measured.errors}")
    return measured


def measure(cells: dict[tuple[str, int], Cell], name: str, url: str, key: str, options: argparse.Namespace) -> None:
    """One server at each concurrency, `--per-slot` answers for each stream."""
    more: dict[str, Any] = dict(SAMPLING)
    if name == "vLLM's server":
        more["ignore_eos"] = True
    for at_once in options.at_once:
        requests = at_once * options.per_slot
        plan = Plan(
            url="", key="", concurrency=at_once, requests=requests, max_tokens=options.tokens, words=options.words, more=more
        )  # fmt: skip
        measured = run(url, key, plan)
        cell = cells[name, at_once]
        cell.failed += measured.failed
        cell.tokens_per_s.append(len(measured.first_s) * options.tokens / measured.wall_s)
        cell.first_p50_ms.append(quantile(measured.first_s, 0.5) * 1000)
        cell.first_p99_ms.append(quantile(measured.first_s, 0.99) * 1000)
        print(
            f"  {name}, {at_once} at once: {cell.tokens_per_s[-1]:.0f} tokens/s, TTFT p50 {cell.first_p50_ms[-1]:.0f} ms",
            flush=True,
        )


def report(console: Console, cells: dict[tuple[str, int], Cell], options: argparse.Namespace) -> None:
    """The table, and ours over theirs, round by round."""
    table = Table(title=f"median of {options.rounds} rounds [lowest–highest]")
    for name in ("server", "at once", "tokens/s", "TTFT p50 ms", "TTFT p99 ms", "failed"):
        table.add_column(name, justify="left" if name == "server" else "right")
    for (name, at_once), cell in sorted(cells.items(), key=lambda one: (one[0][1], one[0][0])):
        row = spread(cell.tokens_per_s, 0), spread(cell.first_p50_ms, 0), spread(cell.first_p99_ms, 0)
        table.add_row(name, str(at_once), *row, str(cell.failed))
    console.print(table)
    for at_once in options.at_once:
        mine, other = cells["Opsite", at_once], cells["vLLM's server", at_once]
        speeds = [a / b for a, b in zip(mine.tokens_per_s, other.tokens_per_s, strict=True)]
        added = statistics.median(mine.first_p50_ms) - statistics.median(other.first_p50_ms)
        console.print(
            f"{at_once} at once: Opsite's tokens/s over vLLM's {spread(speeds, 3)}; added to TTFT p50 {added:.0f} ms"
        )


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worker-python", required=True, help="an interpreter with vLLM and the worker's packages")
    parser.add_argument("--shape", choices=SHAPES, default="small")
    parser.add_argument("--gpus", type=int, default=0, help="per worker")
    parser.add_argument("--at-once", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--tokens", type=int, default=128, help="of each answer")
    parser.add_argument("--words", type=int, default=60, help="more words of each prompt")
    parser.add_argument("--per-slot", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engine-args", default="{}", help="further fields of AsyncEngineArgs, JSON")
    parser.add_argument("--env", nargs="*", default=[], help="NAME=value, for both engines")
    parser.add_argument("--log", default="", help="a file for what vLLM's own server says")
    options = parser.parse_args()

    console = Console(width=120)
    console.print(f"{command()}\n{machine()}", highlight=False, markup=False)
    cells: dict[tuple[str, int], Cell] = defaultdict(Cell)
    # One after the other: an engine measures the GPU's free memory when it starts.
    with model_folder(options.shape) as model, ours(model, options) as service:
        console.print(f"our worker: {started(service)}", highlight=False, markup=False)
        with theirs(model, options) as url:
            for number in range(options.rounds + 1):
                kept = cells if number else defaultdict(Cell)  # the first round warms both up
                measure(kept, "Opsite", service.url, service.key, options)
                measure(kept, "vLLM's server", url, "none", options)
    report(console, cells, options)


if __name__ == "__main__":
    main()
