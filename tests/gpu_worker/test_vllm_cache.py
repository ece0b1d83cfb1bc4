"""vLLM's own prefix cache, asked how much of a prompt it knew: nothing that another tenant brought."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import vllm_python

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[2]
TENANTS = ("acme", "acme", "bravo", "bravo")
PROBE = """
import asyncio, json, os, sys
from gpu_worker.engines import EngineRequest
from gpu_worker.engines.vllm import VllmEngine
from gpu_worker.settings import read_settings
from taskqueue.messages import SamplingParams, TurnBody

async def main():
    engine = VllmEngine(read_settings(os.environ))
    await engine.start()
    generate, known = engine._loaded.llm.generate, []

    async def watched(*arguments):
        async for output in generate(*arguments):
            if output.finished:
                known.append(output.num_cached_tokens)
            yield output

    engine._loaded.llm.generate = watched
    body = TurnBody(prompt="Speak of the sea. " * 40, params=SamplingParams(max_tokens=2, ignore_eos=True))
    for number, tenant in enumerate(sys.argv[1:]):
        engine.submit([EngineRequest(id=str(number), turn=str(number), tenant=tenant, body=body)])
        while not any(output.ending for output in await engine.collect()):
            pass
    await engine.close()
    print(json.dumps(known), flush=True)
    os._exit(0)

asyncio.run(main())
"""


def test_a_tenant_finds_its_own_prefix_and_nobody_elses() -> None:
    settings = {
        "OPSITE_REDIS_URL": "redis://unused",
        "OPSITE_POOL": "p",
        "OPSITE_ENGINE": "vllm",
        "OPSITE_MODEL": str(ROOT / "models" / "opsite-verse"),
        "OPSITE_ENGINE_ARGS": json.dumps(
            {"dtype": "float32", "max_model_len": 1024, "enforce_eager": True, "enable_prefix_caching": True}
        ),
        "OPSITE_CACHE_SALT_KEY": "k",
        "VLLM_CPU_KVCACHE_SPACE": "1",
    }
    ran = subprocess.run(
        [str(vllm_python()), "-c", PROBE, *TENANTS],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "PYTHONPATH": str(ROOT), **settings},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    first, again, stranger, strangers_own = json.loads(ran.stdout.splitlines()[-1])
    assert (first, stranger) == (0, 0)
    assert again == strangers_own > 0
