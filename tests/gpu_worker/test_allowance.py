"""A turn's money: its answer is no longer than what is left buys behind its prompt."""

from __future__ import annotations

import msgspec
import pytest

from gpu_worker.engines import EngineRequest
from gpu_worker.engines.prompting import PromptRefused, affordable
from gpu_worker.engines.simulated import SimulatedEngine
from gpu_worker.engines.simulated_text import prompt_text, prompt_tokens, whole_answer
from gpu_worker.settings import Settings
from taskqueue.messages import Allowance
from tests.gpu_worker.conftest import request, run_engine


def allowed(asked: EngineRequest, *, left: int, prompt_token: int = 0, answer_token: int = 1) -> EngineRequest:
    money = Allowance(left=left, prompt_token=prompt_token, answer_token=answer_token)
    return msgspec.structs.replace(asked, body=msgspec.structs.replace(asked.body, allowance=money))


@pytest.mark.parametrize(
    ("left", "prompt_token", "answer_token", "tokens"),
    [(1000, 1, 10, 30), (509, 1, 10, 30), (399, 1, 10, 29), (110, 1, 10, 1), (100, 1, 0, 30), (0, 0, 0, 30)],
)
def test_what_it_buys(left: int, prompt_token: int, answer_token: int, tokens: int) -> None:
    asked = allowed(request(1, max_tokens=30), left=left, prompt_token=prompt_token, answer_token=answer_token)
    assert affordable(asked.body, prompt_length=100) == tokens
    assert 100 * prompt_token + tokens * answer_token <= left


@pytest.mark.parametrize(("left", "answer_token"), [(109, 10), (99, 0), (0, 10)])
def test_a_prompt_that_leaves_nothing_is_refused(left: int, answer_token: int) -> None:
    asked = allowed(request(1, max_tokens=30), left=left, prompt_token=1, answer_token=answer_token)
    with pytest.raises(PromptRefused) as refused:
        affordable(asked.body, prompt_length=100)
    assert refused.value.error.code == "cost_limit"


async def test_an_engine_ends_where_the_money_does_also_after_a_take_over() -> None:
    engine = SimulatedEngine(
        Settings(
            redis_url="redis://unused", pool="p", engine="simulated", worker_id="w", engine_args={"step_base_s": 0}
        )
    )
    await engine.start()
    asked = request(1, max_tokens=30)
    length = prompt_tokens(prompt_text(asked.body))
    expected = whole_answer(asked.body).token_ids
    for streamed in (0, 5, 12):
        cut = allowed(request(1, max_tokens=30, streamed=expected[:streamed]), left=length + 12, prompt_token=1)
        ran = (await run_engine(engine, [cut]))[cut.id]
        assert ran.last is not None
        assert (tuple(ran.token_ids), ran.last.ending) == (expected[streamed:12], "length")
    broke = allowed(asked, left=length, prompt_token=1)
    last = (await run_engine(engine, [broke]))[broke.id].last
    assert last is not None
    assert (last.ending, last.error and last.error.code) == ("failed", "cost_limit")
    await engine.close()
