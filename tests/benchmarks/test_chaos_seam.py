"""The judge of the real model's streams, on the real model: right answers pass, and every misfortune at a seam is seen."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest

from benchmarks.chaos.scene import VERSE_MODEL
from benchmarks.chaos.seam import HAIR, Reference
from benchmarks.chaos.verdict import Told
from benchmarks.chaos.verses import judge, verse
from benchmarks.stack import ROOT
from gpu_worker.detokenize import Detokenizer
from gpu_worker.engines import EngineRequest
from gpu_worker.engines.prompting import decoder, prompt_ids
from gpu_worker.engines.transformers import TransformersEngine
from gpu_worker.settings import Settings
from taskqueue.messages import ChatMessage, SamplingParams, TurnBody
from tests.gpu_worker.conftest import run_engine

TENANTS = ("montague", "capulet")
NUMBERS = (0, 1, 2)
NEAR = 73, 27
"""The random number of this prompt's token lies nearer to the bound between two tokens than a batch may move that."""


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference(ROOT / VERSE_MODEL)


@pytest.fixture
async def engine() -> AsyncIterator[TransformersEngine]:
    settings = Settings(
        redis_url="", pool="", engine="transformers", worker_id="w", model=str(ROOT / VERSE_MODEL), slots=8
    )
    engine = TransformersEngine(settings)
    await engine.start()
    yield engine
    await engine.close()


def body(number: int) -> TurnBody:
    task = verse(number, TENANTS)
    return TurnBody(messages=(ChatMessage("user", task.prompt),), params=SamplingParams(**task.parameters))


async def answers(
    engine: TransformersEngine, *numbers: int, streamed: tuple[int, ...] = ()
) -> list[tuple[list[int], str]]:
    """Ids and text of these prompts, together in one batch; behind `streamed`."""
    requests = [EngineRequest(id=str(n), turn=str(n), tenant="t", body=body(n), streamed=streamed) for n in numbers]
    ran = await run_engine(engine, requests)
    return [(ran[one.id].token_ids, ran[one.id].text) for one in requests]


async def test_what_a_batch_says_is_right_whoever_takes_it_over(
    engine: TransformersEngine, reference: Reference
) -> None:
    for number, (ids, text) in zip(NUMBERS, await answers(engine, *NUMBERS), strict=True):
        assert reference.faults(body(number), ids, text) == []
        cut = len(ids) // 2
        ((rest, said),) = await answers(engine, number, streamed=tuple(ids[:cut]))
        assert reference.faults(body(number), [*ids[:cut], *rest], text[: len(text) - len(said)] + said) == []


async def test_every_misfortune_at_a_seam_is_seen(engine: TransformersEngine, reference: Reference) -> None:
    ((ids, text),) = await answers(engine, 0)
    longer = msgspec.structs.replace(body(0), params=msgspec.structs.replace(body(0).params, max_tokens=len(ids) + 1))
    other = msgspec.structs.replace(body(0), params=msgspec.structs.replace(body(0).params, seed=1))
    for place in (1, len(ids) // 2, len(ids) - 2):
        lost, twice = ids[:place] + ids[place + 1 :], ids[: place + 1] + ids[place:]
        for wrong in (lost, twice, twice[:-1], [*ids[:place], ids[place] ^ 1, *ids[place + 1 :]]):
            assert reference.faults(body(0), wrong, said(reference, wrong))
        # A lost token, and one more at the end: as long as it should be.
        assert reference.faults(body(0), [*lost, ids[0]], said(reference, [*lost, ids[0]]))
    assert reference.faults(body(0), ids[:-1], said(reference, ids[:-1]))
    assert reference.faults(longer, ids, text)
    assert reference.faults(other, ids, text)
    assert reference.faults(body(0), ids, text[:-1])
    assert reference.faults(body(0), [], "")


async def test_a_hair_s_breadth_is_forgiven(engine: TransformersEngine, reference: Reference) -> None:
    number, place = NEAR
    ((ids, _),) = await answers(engine, number)
    prompt = prompt_ids(reference.tokenizer, body(number))
    near = [
        token
        for token in (ids[place] - 1, ids[place], ids[place] + 1)
        if reference.outside(body(number), prompt, [*ids[:place], token])[place] <= HAIR
    ]
    assert len(near) == 2  # one says it, the other would be said if a logit's last bit moved
    assert ids[place] in near


async def test_where_ids_are_known_they_are_judged_and_else_the_letters(engine: TransformersEngine) -> None:
    ((ids, text),) = await answers(engine, 0)
    tasks = {task.key: task for task in (verse(0, TENANTS), verse(1, TENANTS))}
    known, unknown = (Told(key, "verse", expected="other", outcome="succeeded") for key in tasks)
    known.tokens = ids
    verdict = judge([known, unknown], tasks)
    assert (verdict.judged, verdict.moved) == (1, [known.key])
    assert [violation.kind for violation in verdict.violations] == ["seam"]  # its reader saw nothing of it
    assert (known.expected, unknown.expected) == (None, "other")
    assert text


def said(reference: Reference, ids: list[int]) -> str:
    """The text of these ids, whatever they are."""
    detokenizer = Detokenizer(decoder(reference.tokenizer), prompt_ids(reference.tokenizer, body(0)))
    return "".join(map(detokenizer.push, ids)) + detokenizer.flush()
