"""How likely each token was: the model's own probabilities, beside the text, also behind a take-over."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import msgspec
import pytest
import torch

from gpu_worker.engines import EngineOutput
from gpu_worker.engines.transformers import TransformersEngine
from gpu_worker.ledger import Ledger
from taskqueue.messages import Candidate, SamplingParams, TokenLogprob
from tests.gpu_worker.conftest import request
from tests.gpu_worker.test_ledger import turn
from tests.gpu_worker.test_transformers import reference, settings

PROMPT = "ROMEO:\n"
__all__ = ["reference"]  # the fixture


@pytest.fixture
async def engine() -> AsyncIterator[TransformersEngine]:
    made = TransformersEngine(settings())
    await made.start()
    yield made
    await made.close()


async def collected(engine: TransformersEngine, **how: Any) -> tuple[list[int], list[TokenLogprob]]:
    """Ids and what was told of them."""
    asked = request(1, prompt=PROMPT, **how)
    engine.submit([asked])
    ids: list[int] = []
    told: list[TokenLogprob] = []
    while True:
        for output in await engine.collect():
            assert len(output.logprobs) in (0, len(output.token_ids))
            ids += output.token_ids
            told += output.logprobs
            if output.ending:
                return ids, told


async def test_they_are_the_models_own(engine: TransformersEngine, reference: Any) -> None:
    """Whatever the temperature: as one forward pass over the whole text gives them."""
    ids, told = await collected(engine, temperature=1.7, seed=5, max_tokens=25, ignore_eos=True, logprobs=3)
    prompt = reference.tokenizer.encode(PROMPT)
    with torch.no_grad():
        logs = reference.batch.model(torch.tensor([[*prompt, *ids]])).logits[0].log_softmax(-1)[len(prompt) - 1 :]
    assert len(told) == len(ids) == 25
    for place, (token_id, one) in enumerate(zip(ids, told, strict=True)):
        assert one.logprob == pytest.approx(float(logs[place, token_id]), abs=1e-3)
        best = logs[place].topk(3).values.tolist()
        assert [other.logprob for other in one.top_logprobs] == pytest.approx(best, abs=1e-3)
        assert all(left.logprob >= right.logprob for left, right in pairwise(one.top_logprobs))
    assert b"".join(bytes(one.bytes) for one in told).decode(errors="replace") == reference.tokenizer.decode(ids)


async def test_none_are_told_that_were_not_asked_for(engine: TransformersEngine) -> None:
    ids, told = await collected(engine, temperature=0, max_tokens=5)
    assert (len(ids), told) == (5, [])
    _, bare = await collected(engine, temperature=0, max_tokens=5, logprobs=0)
    assert [one.top_logprobs for one in bare] == [()] * 5


def test_the_ledger_tells_them_before_their_text_with_numbers_of_their_own() -> None:
    ledger = Ledger()
    bare = turn("a")
    body = msgspec.structs.replace(bare.body, params=SamplingParams(logprobs=0))
    ledger.admit(msgspec.structs.replace(bare, body=body))
    likely = [TokenLogprob(token=word, logprob=-0.5, bytes=tuple(word.encode())) for word in "xy"]
    outputs = [
        EngineOutput(id="a:1", token_ids=(number,), text=one.token, logprobs=(one,))
        for number, one in enumerate(likely)
    ]
    first, second = ledger.book(outputs, now_ms=1).deltas
    assert (first.seq, first.text, first.token_ids, first.logprobs) == (3, "", (), tuple(likely))
    assert (second.seq, second.text, second.token_ids, second.logprobs) == (4, "xy", (0, 1), ())
    (finish,) = ledger.book([EngineOutput(id="a:1", ending="stop")], now_ms=2).finishes
    assert finish.has_logprobs


def test_a_candidate_is_in_openais_form() -> None:
    one = TokenLogprob(
        token="é", logprob=-1.5, bytes=(195, 169), top_logprobs=(Candidate(token="a", logprob=-2.0, bytes=(97,)),)
    )
    assert json.loads(msgspec.json.encode(one)) == {
        "token": "é",
        "logprob": -1.5,
        "bytes": [195, 169],
        "top_logprobs": [{"token": "a", "logprob": -2.0, "bytes": [97]}],
    }
