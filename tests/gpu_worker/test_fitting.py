"""Contexts that are too long, in the engines: counted, trimmed, told of, refused; and the same behind a take-over."""

from __future__ import annotations

import json
import signal
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest

from gpu_worker.engines import Engine, EngineOutput, EngineRequest
from gpu_worker.engines.fitting import fitted_prompt
from gpu_worker.engines.prompting import PromptRefused, prompt_ids
from gpu_worker.engines.registry import make_engine
from gpu_worker.engines.simulated_text import whole_answer
from gpu_worker.ledger import Ledger
from taskqueue.async_client import AsyncQueue
from taskqueue.messages import (
    ChatMessage,
    ContextRule,
    ContextUse,
    SamplingParams,
    Submission,
    TurnBody,
)
from tests.gpu_worker.conftest import StartWorker, outcomes, run_engine, until
from tests.gpu_worker.test_ledger import turn
from tests.gpu_worker.test_transformers import reference, settings

__all__ = ["reference"]  # the fixture
PAST = [
    message
    for number in range(30)
    for message in (
        ChatMessage("user", f"Speak of the king, number {number}, and of his crown."),
        ChatMessage("assistant", f"The king {number} is dead; long live the king."),
    )
]
LONG = (ChatMessage("system", "You are a poet."), *PAST, ChatMessage("user", "And now?"))
TRIM = ContextRule(strategy="trim")


def body(rule: ContextRule | None = TRIM, messages: tuple[ChatMessage, ...] = LONG, **params: Any) -> TurnBody:
    return TurnBody(messages=messages, context=rule, params=SamplingParams(**{"max_tokens": 40, **params}))


def request(of: TurnBody, *, streamed: tuple[int, ...] = ()) -> EngineRequest:
    return EngineRequest(id="turn-1:1", turn="turn-1", tenant="acme", body=of, streamed=streamed)


Start = Callable[..., Any]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    made: list[Engine] = []

    async def begin(engine: str, **args: Any) -> Engine:
        made.append(make_engine(settings(engine=engine, engine_args=args)))
        await made[-1].start()
        return made[-1]

    yield begin
    for one in made:
        await one.close()


def test_the_prompt_is_that_of_the_messages_that_are_left(reference: Any) -> None:
    whole = prompt_ids(reference.tokenizer, body())
    assert len(whole) > 700
    found = fitted_prompt(reference.tokenizer, body(max_tokens=60), context=300)
    assert found.use is not None
    sent = (LONG[0], *LONG[1 + found.use.messages_dropped :])
    assert found.ids == prompt_ids(reference.tokenizer, body(messages=sent))
    assert (len(found.ids), len(sent)) == (found.use.prompt_tokens, found.use.messages_sent)
    assert found.use.limit == 300
    one_more = (LONG[0], *LONG[1 + found.use.messages_dropped - 2 :])
    assert len(found.ids) <= 240 < len(prompt_ids(reference.tokenizer, body(messages=one_more)))
    assert found.max_tokens == 60


@pytest.mark.parametrize(
    ("rule", "context", "code", "names"),
    [
        (None, 100, "context_length_exceeded", ["this model's context holds 100"]),
        (ContextRule(max_tokens=50), 100, "context_length_exceeded", ["`context.max_tokens` allows 50"]),
        (TRIM, 10, "context_too_long", ["60 messages left out", "2 that must stay", "holds 10", "`context.keep_last`"]),
        (
            ContextRule(strategy="trim", max_tokens=120, keep_last=20),
            2000,
            "context_too_long",
            ["`context.max_tokens` allows 120", "the last 20", "raise `context.max_tokens`"],
        ),
    ],
)
def test_what_cannot_fit_is_refused_with_its_counts(
    reference: Any, rule: ContextRule | None, context: int, code: str, names: list[str]
) -> None:
    with pytest.raises(PromptRefused) as refused:
        fitted_prompt(reference.tokenizer, body(rule), context=context)
    assert refused.value.error.code == code
    assert not [name for name in names if name not in refused.value.error.message]
    assert (refused.value.use is None) == (rule is None)


def test_a_large_max_tokens_costs_no_more_than_half_of_the_limit(reference: Any) -> None:
    found = fitted_prompt(reference.tokenizer, body(max_tokens=100_000), context=400)
    assert found.use is not None
    assert 170 < found.use.prompt_tokens <= 200
    assert found.max_tokens == 400 - found.use.prompt_tokens


@pytest.mark.parametrize(
    ("engine", "args"),
    [
        ("transformers", {"context": 300}),
        ("simulated", {"context_tokens": 200, "step_base_s": 0}),
        ("scripted", {"context_tokens": 200, "step_base_s": 0, "script": ["A word is a word, and so on."]}),
    ],
)
async def test_each_engine_tells_first_and_goes_on_alike(start: Start, engine: str, args: dict[str, Any]) -> None:
    one = await start(engine, **args)
    asked = body(temperature=0, ignore_eos=True)
    told: list[EngineOutput] = []
    one.submit([request(asked)])
    while not told or told[-1].ending is None:
        told += await one.collect()
    use = told[0].context
    assert use is not None
    assert (told[0].token_ids, [output for output in told[1:] if output.context]) == ((), [])
    assert use.messages_dropped > 0
    assert use.messages_sent + use.messages_dropped == len(LONG)
    assert use.prompt_tokens == told[-1].prompt_tokens
    ids = tuple(token for output in told for token in output.token_ids)
    rest = (await run_engine(one, [request(asked, streamed=ids[:5])]))["turn-1:1"]
    assert (tuple(rest.token_ids), rest.last and rest.last.prompt_tokens) == (ids[5:], use.prompt_tokens)
    refused = (await run_engine(one, [request(body(ContextRule(), max_tokens=5))]))["turn-1:1"].last
    assert refused is not None
    assert refused.context is not None
    assert (refused.error and refused.error.code, refused.context.messages_dropped) == ("context_length_exceeded", 0)
    silent = (await run_engine(one, [request(body(None, LONG[-1:], max_tokens=2))]))["turn-1:1"].last
    assert silent is not None
    assert (silent.error, silent.context) == (None, None)


def test_the_ledger_tells_it_once_before_the_text_and_at_the_end() -> None:
    use = ContextUse(prompt_tokens=9, limit=20, messages_sent=3, messages_dropped=4)
    ledger = Ledger()
    ledger.admit(turn("a"))
    outputs = [EngineOutput(id="a:1", context=use), EngineOutput(id="a:1", text="x", token_ids=(1,), ending="stop")]
    flush = ledger.book(outputs, now_ms=1)
    assert [(delta.seq - flush.deltas[0].seq, delta.context, delta.text) for delta in flush.deltas] == [
        (0, use, ""),
        (1, None, "x"),
    ]
    assert flush.finishes[0].context == use
    ledger.admit(msgspec.structs.replace(turn("a"), streamed=(1,)), streamed_text="x")
    again = ledger.book([EngineOutput(id="a:1", context=use, ending="length")], now_ms=1)
    assert (again.deltas, again.finishes[0].context) == ([], use)


async def uses(queue: AsyncQueue, task: str) -> list[dict[str, int]]:
    return [json.loads(event.data) for event in await queue.read_log(task, count=10_000) if event.kind == "context"]


async def test_a_trimmed_turn_is_taken_over_in_mid_sentence(queue: AsyncQueue, start_worker: StartWorker) -> None:
    """By a process that knows nothing of it but its log: the text is that of an undisturbed run."""
    asked = body(max_tokens=100)
    taken = Submission(turn="turn-1", task="task-1", tenant="acme", body=asked)
    engine = {"engine_args": '{"context_tokens": 300, "step_base_s": 0.01}', "lease_s": 0.5}
    first = start_worker("first", **engine)
    await queue.enqueue([taken])

    async def begun() -> bool:
        return len([event for event in await queue.read_log(taken.task) if event.kind == "text"]) >= 3

    await until(begun)
    first.signal(signal.SIGKILL)
    first.wait()
    assert [event.kind for event in await queue.read_log(taken.task)][-1] == "text"
    start_worker("second", **engine)
    ended = (await outcomes(queue, 1, reap=True))[taken.turn]
    assert ended.context is not None
    assert ended.context.messages_dropped > 0
    sent = (LONG[0], *LONG[1 + ended.context.messages_dropped :])
    assert ended.text == whole_answer(body(messages=sent, max_tokens=100)).text
    assert await uses(queue, taken.task) == [msgspec.to_builtins(ended.context)]
