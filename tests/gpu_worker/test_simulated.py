"""The simulated engine: its speed model and its text."""

from __future__ import annotations

import asyncio

import pytest

from gpu_worker.engines import EngineOutput
from gpu_worker.engines.simulated import SimulatedArgs, SimulatedEngine, step_s
from gpu_worker.engines.simulated_text import whole_answer
from gpu_worker.settings import Settings
from tests.gpu_worker.conftest import PATIENCE_S, request, run_engine

ARGS = SimulatedArgs(prefill_tokens_per_s=1000, step_base_s=0.02, step_per_sequence_s=0.001)


@pytest.mark.parametrize(
    ("sequences", "prefilled", "expected_s"), [(1, 0, 0.021), (16, 0, 0.036), (1, 100, 0.121), (0, 0, 0.02)]
)
def test_speed_model(sequences: int, prefilled: int, expected_s: float) -> None:
    assert step_s(ARGS, sequences=sequences, prefilled=prefilled) == pytest.approx(expected_s)


async def engine(**args: object) -> SimulatedEngine:
    settings = Settings(
        redis_url="redis://unused", pool="p", engine="simulated", worker_id="w", engine_args={"step_base_s": 0, **args}
    )
    made = SimulatedEngine(settings)
    await made.start()
    return made


async def test_text_depends_on_prompt_and_position_alone() -> None:
    one = await engine()
    requests = [request(number, max_tokens=20 + number) for number in range(5)]
    for asked, ran in zip(requests, (await run_engine(one, requests)).values(), strict=True):
        expected = whole_answer(asked.body)
        assert (ran.text, tuple(ran.token_ids)) == (expected.text, expected.token_ids)
        assert ran.last is not None
        assert ran.last.ending == "length"
    await one.close()


@pytest.mark.parametrize("cut", [0, 1, 13, 29])
async def test_a_continuation_says_the_rest(cut: int) -> None:
    asked = request(1, max_tokens=30)
    expected = whole_answer(asked.body)
    one = await engine()
    rest = (await run_engine(one, [request(1, max_tokens=30, streamed=expected.token_ids[:cut])]))["turn-1:1"]
    assert tuple(rest.token_ids) == expected.token_ids[cut:]
    assert expected.text.endswith(rest.text)
    await one.close()


async def test_a_stop_string_ends_the_answer_also_over_a_seam() -> None:
    free = whole_answer(request(1, max_tokens=40).body)
    words = free.text.split()
    stop = f"{words[10]} {words[11]}"
    body = request(1, max_tokens=40, stop=(stop,)).body
    expected = whole_answer(body)
    assert (expected.finish_reason, stop in expected.text) == ("stop", False)
    one = await engine()
    whole = (await run_engine(one, [request(1, max_tokens=40, stop=(stop,))]))["turn-1:1"]
    assert whole.text == expected.text
    cut = len(expected.token_ids) - 1
    rest = await run_engine(one, [request(1, max_tokens=40, stop=(stop,), streamed=expected.token_ids[:cut])])
    assert rest["turn-1:1"].last is not None
    assert (rest["turn-1:1"].last.ending, len(rest["turn-1:1"].token_ids)) == ("stop", 1)
    await one.close()


async def test_an_answer_that_only_lacked_its_end_ends_at_once() -> None:
    one = await engine()
    ids = whole_answer(request(1, max_tokens=5).body).token_ids
    ran = (await run_engine(one, [request(1, max_tokens=5, streamed=ids)]))["turn-1:1"]
    assert ran.last == EngineOutput(id="turn-1:1", prompt_tokens=2, ending="length")
    await one.close()


async def test_context_is_a_limit_when_it_is_set() -> None:
    one = await engine(context_tokens=10)
    ran = await run_engine(one, [request(1, max_tokens=99), request(2, prompt="word " * 10)])
    assert len(ran["turn-1:1"].token_ids) == 8
    last = ran["turn-2:1"].last
    assert last is not None
    assert last.error is not None
    assert (last.ending, last.error.code) == ("failed", "context_length_exceeded")
    await one.close()


async def test_an_aborted_request_says_so_once() -> None:
    one = await engine(step_base_s=30)
    one.submit([request(1)])
    one.abort(["turn-1:1", "turn-1:1", "unknown"])
    async with asyncio.timeout(PATIENCE_S):
        assert await one.collect() == [EngineOutput(id="turn-1:1", ending="aborted")]
    await one.close()
