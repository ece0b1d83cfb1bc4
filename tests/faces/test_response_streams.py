"""A response's stream goes on at any web process, from the number that its reader names, whatever was killed meanwhile."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import Callable
from typing import Any

import openai
import pytest

from gpu_worker.engines.simulated_text import whole_answer
from taskqueue.messages import ChatMessage, SamplingParams, TurnBody
from tests.faces.conftest import Web, await_ready, free_port
from tests.gpu_worker.conftest import StartWorker, start_worker
from tests.scene import Scene

__all__ = ["start_worker"]  # a fixture

pytestmark = [pytest.mark.timeout(150), pytest.mark.parametrize("server", ["uvicorn"], indirect=True)]
TOKENS = 200
READ = 20


@pytest.fixture
def pool(live_scene: Scene) -> str:
    """The worker serves the scene's pool."""
    return live_scene.pool.slug


def said() -> str:
    """What the simulated engine answers."""
    body = TurnBody(messages=(ChatMessage("user", "Go on"),), params=SamplingParams(max_tokens=TOKENS))
    return whole_answer(body).text


def deltas(events: list[Any]) -> str:
    return "".join(event.delta for event in events if event.type == "response.output_text.delta")


async def test_a_killed_web_process_leaves_neither_gap_nor_repeat(
    web: Web, start: Callable[..., subprocess.Popen[bytes]], start_worker: StartWorker
) -> None:
    """Four seconds of text: one process is killed after twenty pieces, another tells the rest, and a sync client all of it."""
    port = free_port()
    other = start("serve", "--port", str(port), "--server", "daphne")
    start("record")
    start_worker(slots=2, engine_args='{"step_base_s": 0.02}')
    key = web.scene.ann.key
    seen: list[Any] = []
    async with openai.AsyncOpenAI(base_url=f"{web.url}/v1", api_key=key, max_retries=0) as ann:
        stream = await ann.responses.create(
            model="poet", input="Go on", background=True, stream=True, max_output_tokens=TOKENS
        )
        async for event in stream:
            seen.append(event)
            if len(seen) == READ:
                break
        web.process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(web.process.wait)
        with pytest.raises(openai.APIConnectionError):
            await ann.responses.retrieve(seen[0].response.id)
    name = seen[0].response.id
    elsewhere = f"http://127.0.0.1:{port}"
    await asyncio.to_thread(await_ready, elsewhere, other)
    async with openai.AsyncOpenAI(base_url=f"{elsewhere}/v1", api_key=key, max_retries=0) as ann:
        rest = [event async for event in await ann.responses.retrieve(name, stream=True, starting_after=READ - 1)]
    events = [*seen, *rest]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.type for event in events[:3]] == ["response.created", "response.queued", "response.in_progress"]
    assert deltas(events) == said()
    assert (events[-1].type, events[-1].response.output_text) == ("response.incomplete", said())

    def again() -> list[Any]:
        with openai.OpenAI(base_url=f"{elsewhere}/v1", api_key=key, max_retries=0) as client:
            return list(client.responses.retrieve(name, stream=True))

    assert await asyncio.to_thread(again) == events
