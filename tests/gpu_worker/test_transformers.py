"""The `transformers` engine with the demo model: the model's own text, whatever runs beside it and whoever began it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from redis import Redis

from gpu_worker.engines.continuous_batch import ContinuousBatch, Running
from gpu_worker.engines.sampling import Sampler
from gpu_worker.engines.transformers import TransformersArgs, TransformersEngine, load, longest_context
from gpu_worker.failures import EngineCannotStart, EngineDied
from gpu_worker.settings import Settings
from taskqueue import calls, keys
from taskqueue.messages import ChatMessage, SamplingParams, TaskError, TurnBody
from tests.gpu_worker.conftest import Ran, StartWorker, outcomes, request, run_engine, submission, until

MODEL = Path(__file__).resolve().parents[2] / "models" / "opsite-verse"
LINES = ("ROMEO:\n", "JULIET:\nO, ", "First Citizen:\nWe are ", "KING RICHARD III:\nNow is the ", "MENENIUS:\n")


@pytest.fixture(scope="module")
def reference() -> Any:
    """The same model, loaded once more, for plain `generate`."""
    return load(str(MODEL), TransformersArgs(threads=1), slots=1)


@pytest.fixture
async def engine() -> AsyncIterator[TransformersEngine]:
    made = TransformersEngine(settings())
    await made.start()
    yield made
    await made.close()


def settings(**values: Any) -> Settings:
    known: dict[str, Any] = {
        "redis_url": "",
        "pool": "",
        "engine": "transformers",
        "worker_id": "w",
        "model": str(MODEL),
        "slots": 16,
    }
    return Settings(**(known | values))


def generated(reference: Any, prompt: str, tokens: int) -> tuple[str, list[int]]:
    """What plain greedy `model.generate` says: text and ids."""
    ids = reference.tokenizer.encode(prompt, return_tensors="pt")
    with torch.no_grad():
        output = reference.batch.model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, do_sample=False
        )
    new = output[0, ids.shape[1] :].tolist()
    return reference.tokenizer.decode(new, skip_special_tokens=True), new


async def one(engine: TransformersEngine, **params: Any) -> Ran:
    return (await run_engine(engine, [request(1, **params)]))["turn-1:1"]


@pytest.mark.parametrize("prompt", LINES)
async def test_greedy_text_is_that_of_plain_generate(engine: TransformersEngine, reference: Any, prompt: str) -> None:
    text, ids = generated(reference, prompt, 60)
    ran = await one(engine, prompt=prompt, temperature=0, max_tokens=60)
    assert ran.token_ids == ids
    assert ran.text == text


async def test_sequences_in_one_batch_do_not_touch_each_other(engine: TransformersEngine, reference: Any) -> None:
    requests = [
        request(number, prompt=LINES[number % 5] * (1 + number // 5), temperature=0, max_tokens=10 + 7 * number)
        for number in range(16)
    ]
    for asked, ran in zip(requests, (await run_engine(engine, requests)).values(), strict=True):
        assert ran.text == generated(reference, str(asked.body.prompt), asked.body.params.max_tokens)[0]


@pytest.mark.parametrize("prompt", LINES[:2])
@pytest.mark.parametrize("cut", [1, 17, 39])
async def test_a_continuation_says_the_rest(engine: TransformersEngine, prompt: str, cut: int) -> None:
    whole = await one(engine, prompt=prompt, temperature=0, max_tokens=40)
    rest = await one(engine, prompt=prompt, temperature=0, max_tokens=40, streamed=whole.token_ids[:cut])
    assert whole.token_ids[:cut] + rest.token_ids == whole.token_ids
    assert whole.text.endswith(rest.text)
    assert rest.last is not None
    assert whole.last is not None
    assert (rest.last.ending, rest.last.prompt_tokens) == (whole.last.ending, whole.last.prompt_tokens)


async def test_a_long_prompt_is_prefilled_in_pieces_while_others_go_on(reference: Any) -> None:
    engine = TransformersEngine(settings(engine_args={"prefill_tokens": 16}))
    await engine.start()
    requests = [
        request(1, prompt=LINES[0], temperature=0, max_tokens=40),
        request(2, prompt="".join(LINES) * 3, temperature=0, max_tokens=20),
        request(3, prompt=LINES[1], temperature=0, max_tokens=3),
        request(4, prompt="".join(LINES) * 2, temperature=0, max_tokens=20),
    ]
    for asked, ran in zip(requests, (await run_engine(engine, requests)).values(), strict=True):
        assert ran.text == generated(reference, str(asked.body.prompt), asked.body.params.max_tokens)[0]
    await engine.close()


async def test_each_request_has_its_own_parameters(engine: TransformersEngine) -> None:
    prompt = LINES[2]
    alone = {
        "greedy": await one(engine, prompt=prompt, temperature=0, max_tokens=24),
        "seeded": await one(engine, prompt=prompt, temperature=1.0, seed=7, max_tokens=24),
        "narrow": await one(engine, prompt=prompt, temperature=0.8, top_p=0.9, top_k=20, seed=7, max_tokens=24),
    }
    params: list[dict[str, Any]] = [
        {"temperature": 0},
        {"temperature": 1.0, "seed": 7},
        {"temperature": 0.8, "top_p": 0.9, "top_k": 20, "seed": 7},
        {"temperature": 1.0, "seed": 8},
        {"temperature": 1.5, "top_k": 1},
        {"temperature": 1.0},
        {"temperature": 1.0},
    ]
    requests = [request(number, prompt=prompt, max_tokens=24, **each) for number, each in enumerate(params)]
    together = list((await run_engine(engine, requests)).values())
    assert [ran.token_ids for ran in together[:3]] == [ran.token_ids for ran in alone.values()]
    assert together[4].token_ids == alone["greedy"].token_ids  # the one best token is the greedy one
    assert len({tuple(ran.token_ids) for ran in together}) == 6  # and all others differ


async def test_a_seeded_answer_goes_on_with_the_same_dice(engine: TransformersEngine) -> None:
    whole = await one(engine, prompt=LINES[3], temperature=1.0, max_tokens=30)
    rest = await one(engine, prompt=LINES[3], temperature=1.0, max_tokens=30, streamed=whole.token_ids[:11])
    assert whole.token_ids[:11] + rest.token_ids == whole.token_ids


async def test_stop_strings_end_the_text(engine: TransformersEngine) -> None:
    free = await one(engine, prompt=LINES[0], temperature=0, max_tokens=60)
    stop = free.text[20:24]
    ran = await one(engine, prompt=LINES[0], temperature=0, max_tokens=60, stop=(stop,))
    assert ran.text == free.text[: free.text.index(stop)]
    assert ran.last is not None
    assert ran.last.ending == "stop"


async def test_a_prompt_beyond_the_context_is_refused_and_a_budget_clamped() -> None:
    engine = TransformersEngine(settings(engine_args={"context": 32}))
    await engine.start()
    ran = await run_engine(
        engine,
        [
            request(1, prompt="word " * 200),
            request(2, prompt="ROMEO:", max_tokens=500, temperature=0, ignore_eos=True),
        ],
    )
    refused, clamped = ran["turn-1:1"].last, ran["turn-2:1"].last
    assert refused is not None
    assert refused.error is not None
    assert refused.error.code == "context_length_exceeded"
    assert clamped is not None
    assert (clamped.ending, clamped.prompt_tokens + len(ran["turn-2:1"].token_ids)) == ("length", 32)
    await engine.close()


async def test_the_chat_template_is_applied(engine: TransformersEngine, reference: Any) -> None:
    messages = (ChatMessage("system", "Speak in verse."), ChatMessage("user", "Tell of the sea."))
    asked = request(1, temperature=0, max_tokens=30)
    chat = type(asked)(
        id=asked.id, turn=asked.turn, tenant=asked.tenant, body=TurnBody(messages=messages, params=asked.body.params)
    )
    ran = (await run_engine(engine, [chat]))[chat.id]
    plain = [{"role": message.role, "content": message.content} for message in messages]
    prompt = reference.tokenizer.apply_chat_template(plain, add_generation_prompt=True, tokenize=False)
    ids = reference.tokenizer.encode(prompt, add_special_tokens=False, return_tensors="pt")
    with torch.no_grad():
        output = reference.batch.model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=30, do_sample=False
        )
    assert ran.text == reference.tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True)


async def test_an_aborted_request_frees_its_row(engine: TransformersEngine) -> None:
    engine.submit([request(number, prompt=LINES[0], max_tokens=2000, ignore_eos=True) for number in range(16)])
    await engine.collect()
    engine.abort([f"turn-{number}:1" for number in range(16)])
    ended: set[str] = set()
    while len(ended) < 16:
        ended |= {output.id for output in await engine.collect() if output.ending == "aborted"}
    ran = await one(engine, prompt=LINES[0], temperature=0, max_tokens=5)
    assert len(ran.token_ids) == 5


async def test_no_tenant_profits_from_anothers_prefix(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same prompt costs each tenant the whole reading of it: nothing tells one that the other was there."""
    read: list[int] = []
    forward = ContinuousBatch._forward

    def counting(self: ContinuousBatch, tokens: Any, *rest: Any) -> Any:
        read.append(sum(map(len, tokens)))
        return forward(self, tokens, *rest)

    monkeypatch.setattr(ContinuousBatch, "_forward", counting)
    costs = []
    for number, tenant in enumerate(("acme", "acme", "bravo")):
        asked = msgspec.structs.replace(
            request(number, prompt="".join(LINES), temperature=0, max_tokens=3), tenant=tenant
        )
        (ran,) = (await run_engine(engine, [asked])).values()
        assert ran.last is not None
        costs.append(sum(read) - ran.last.prompt_tokens)
        read.clear()
    assert costs == [2, 2, 2]  # two steps after the prompt


@torch.inference_mode()
def test_what_an_earlier_sequence_left_in_a_row_is_not_seen(reference: Any) -> None:
    def answer() -> list[int]:
        batch, ids = reference.batch, reference.tokenizer.encode(LINES[3])
        one = Running(
            id="x", ids=ids, sampler=Sampler.of(SamplingParams(temperature=0), turn="x"), prompt_length=len(ids)
        )
        batch.add(one)
        made = [batch.step().chosen[0].token_id for _ in range(20)]
        batch.remove("x")
        return made

    clean = answer()
    for layer in reference.batch.cache.layers:
        layer.keys.fill_(50.0)
        layer.values.fill_(50.0)
    assert answer() == clean


async def test_sixteen_at_once_are_much_faster_than_one_after_the_other(engine: TransformersEngine) -> None:
    async def rate(count: int) -> float:
        """Tokens per second of this process's CPU time: what other processes of the machine do does not count."""
        requests = [request(number, prompt=LINES[1], max_tokens=96, ignore_eos=True) for number in range(count)]
        started = time.process_time()
        ran = await run_engine(engine, requests)
        return sum(len(each.token_ids) for each in ran.values()) / (time.process_time() - started)

    alone, together = max([await rate(1), await rate(1)]), max([await rate(16), await rate(16)])
    print(f"{together:.0f} tokens per CPU second at 16 in parallel, {alone:.0f} alone")
    assert together > 4 * alone


async def test_a_broken_engine_fails_its_turns_and_then_dies(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("no more memory")

    monkeypatch.setattr(ContinuousBatch, "_forward", broken)
    for number in range(3):
        last = (await run_engine(engine, [request(number, max_tokens=5)]))[f"turn-{number}:1"].last
        assert last is not None
        assert last.error == TaskError("engine_error", "RuntimeError: no more memory")
    with pytest.raises(EngineDied, match="no more memory"):
        await engine.collect()


async def test_a_model_that_is_none_cannot_start(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(EngineCannotStart, match="does not load"):
        await TransformersEngine(settings(model=str(tmp_path))).start()


class FakeConfig:
    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)


@pytest.mark.parametrize(
    ("config", "longest"),
    [
        (FakeConfig(max_position_embeddings=2048), 2048),
        (FakeConfig(max_position_embeddings=2048, sliding_window=512), 512),
        (FakeConfig(max_position_embeddings=2048, sliding_window=512, layer_types=["full_attention"]), 2048),
        (FakeConfig(max_position_embeddings=2048, sliding_window=512, layer_types=["sliding_attention"]), 512),
    ],
)
def test_the_context_stays_where_attention_is_exact(config: FakeConfig, longest: int) -> None:
    assert longest_context(config) == longest


def test_layers_that_keep_no_keys_are_refused() -> None:
    with pytest.raises(ValueError, match="linear_attention"):
        longest_context(FakeConfig(layer_types=["linear_attention"]))


async def test_the_worker_runs_it_as_a_process(queue: Any, start_worker: StartWorker) -> None:
    submissions = [submission(number, prompt=LINES[number % 5], max_tokens=30, temperature=0) for number in range(8)]
    await queue.enqueue(submissions)
    start_worker(engine="transformers", model=MODEL, slots=8)
    ended = await outcomes(queue, 8)
    assert {record.state for record in ended.values()} == {"succeeded"}
    assert all(record.text and record.first_token_ms for record in ended.values())


async def test_a_turn_that_redis_forgot_and_gives_again_at_once_is_one_turn(
    queue: Any, start_worker: StartWorker, redis_url: str
) -> None:
    """Attempts count anew after a loss of Redis' data: the worker holds the first attempt, and is given a first attempt."""
    one, twin = (
        submission(number, prompt=LINES[0], max_tokens=200, temperature=0, ignore_eos=True) for number in range(2)
    )
    start_worker(engine="transformers", model=MODEL, slots=8)
    await queue.enqueue([twin])
    undisturbed = (await outcomes(queue, 1))[twin.turn].text
    await queue.enqueue([one])
    for _ in range(10):
        await until(lambda: has_text(queue, one.task))
        with Redis.from_url(redis_url) as redis, redis.pipeline(transaction=True) as at_once:
            at_once.delete(*redis.keys(f"opsite:{{{queue.pool}}}:*"))
            for call in (calls.restart([one.task]), calls.enqueue(one)):
                at_once.eval(call.script.text, 1, keys.prefix(queue.pool), *call.args)
            at_once.execute()
    ended = (await outcomes(queue, 1))[one.turn]
    assert (ended.state, ended.text) == ("succeeded", undisturbed)
    shown = [event for event in await queue.read_log(one.task) if event.kind == "text"]
    assert "".join(msgspec.json.decode(event.data) for event in shown) == undisturbed


async def has_text(queue: Any, task: str) -> bool:
    return sum(event.kind == "text" for event in await queue.read_log(task)) > 3
