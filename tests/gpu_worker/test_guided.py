"""Answers that must have a form, by the `transformers` engine with a model that babbles: what it says is guided, or it fails."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_worker.engines.guide import Guide, GuideFailed
from gpu_worker.engines.transformers import TransformersEngine
from gpu_worker.output_check import fault
from taskqueue.messages import INVALID_OUTPUT, OutputForm, Submission
from tests.gpu_worker.conftest import (
    Ran,
    StartWorker,
    outcomes,
    request,
    run_engine,
    streamed_text,
    submission,
    told_of,
    until,
)
from tests.gpu_worker.schemas import formed, schemas
from tests.gpu_worker.test_transformers import MODEL
from tests.gpu_worker.test_transformers import settings as worker_settings

PROMPT = "ROMEO:\n"
PERSON = OutputForm(
    "json_schema",
    {
        "type": "object",
        "properties": {
            "surname": {"type": "string", "maxLength": 24},
            "age": {"type": "integer", "minimum": 0, "maximum": 120},
            "likes": {"type": "array", "items": {"enum": ["rain", "wind", "☃"]}, "minItems": 1, "maxItems": 3},
        },
        "required": ["surname", "age", "likes"],
        "additionalProperties": False,
    },
)
FORMS = {
    "person": PERSON,
    "choice": OutputForm("json_schema", {"enum": ["yes", "no", None]}),
    "pairs": OutputForm(
        "json_schema",
        {"type": "array", "items": {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 2}, "maxItems": 3},
    ),
    "plate": OutputForm("regex", None, "[A-Z]{1,3}-[A-Z]{1,2} [1-9][0-9]{0,3}"),
    "word": OutputForm("regex", None, "(rain|wind|snow)(, (rain|wind|snow)){2}"),
}  # fmt: skip


@pytest.fixture
async def engine() -> AsyncIterator[TransformersEngine]:
    made = TransformersEngine(worker_settings())
    await made.start()
    yield made
    await made.close()


async def one(engine: TransformersEngine, form: OutputForm, **how: Any) -> Ran:
    return (await run_engine(engine, [formed(1, form, **({"prompt": PROMPT, "max_tokens": 120} | how))]))["turn-1:1"]


async def test_a_babbling_model_keeps_to_the_form(engine: TransformersEngine) -> None:
    """All together in one batch, with one that is not guided."""
    asked = [
        formed(10 * number + greedy, form, prompt=PROMPT, max_tokens=120, temperature=0 if greedy else 1.0)
        for number, form in enumerate(FORMS.values())
        for greedy in (0, 1)
    ]
    free = request(99, prompt=PROMPT, max_tokens=20, temperature=0)
    alone = (await run_engine(engine, [free]))[free.id]
    ran = await run_engine(engine, [*asked, free])
    for each in asked:
        assert each.body.output is not None
        assert fault(ran[each.id].text, each.body.output) == ""
        last = ran[each.id].last
        assert last is not None
        assert last.ending == "stop"
    assert ran[free.id].token_ids == alone.token_ids


@pytest.mark.parametrize("name", FORMS)
async def test_a_continuation_says_the_rest(engine: TransformersEngine, name: str) -> None:
    """Behind every single token: the guide stands where it stood."""
    form = FORMS[name]
    whole = await one(engine, form, seed=4)
    asked = [
        formed(cut, form, prompt=PROMPT, max_tokens=120, seed=4, streamed=whole.token_ids[:cut])
        for cut in range(1, len(whole.token_ids) + 1)
    ]
    assert len(asked) > 1
    ran = await run_engine(engine, asked)
    for each in asked:
        rest = ran[each.id]
        assert [*each.streamed, *rest.token_ids] == whole.token_ids
        assert whole.text.endswith(rest.text)
        assert rest.last is not None
        assert rest.last.ending == "stop"


async def test_an_answer_of_which_the_end_was_streamed_ends_at_once(engine: TransformersEngine) -> None:
    """Where more might have followed, the model says itself that it has ended."""
    form = OutputForm("regex", None, "(rain|wind)( rain| wind)*")
    for seed in range(20):
        whole = await one(engine, form, seed=seed, max_tokens=60)
        assert whole.last is not None
        if whole.last.ending == "stop":
            rest = await one(engine, form, seed=seed, max_tokens=60, streamed=whole.token_ids)
            assert (rest.text, rest.token_ids, rest.last) == (
                "",
                [],
                msgspec.structs.replace(whole.last, token_ids=(), text=""),
            )
            return
    pytest.fail("none of the answers ended by itself")


async def test_an_answer_ends_where_its_form_is_complete(engine: TransformersEngine) -> None:
    """Not a token is spent on the end of text, and a limit that is reached just then has cut nothing."""
    whole = await one(engine, FORMS["choice"], temperature=0)
    tight = await one(engine, FORMS["choice"], temperature=0, max_tokens=len(whole.token_ids))
    assert whole.last is not None
    assert tight.last is not None
    assert (tight.text, tight.last.ending, whole.last.ending) == (whole.text, "stop", "stop")


async def test_a_limit_cuts(engine: TransformersEngine) -> None:
    cut = await one(engine, PERSON, max_tokens=5)
    assert cut.last is not None
    assert cut.last.ending == "length"
    assert "it is no JSON" in fault(cut.text, PERSON)


async def test_a_form_that_fails_fails_alone_and_is_no_fault_of_the_engine(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often: three passes that fail in a row end an engine, guides that fail do not."""
    allowed = Guide.allowed

    def fails(self: Guide) -> Any:
        if self._matcher.compute_ff_bytes() == b"bad":
            raise GuideFailed("too many states")
        return allowed(self)

    monkeypatch.setattr(Guide, "allowed", fails)
    bad = OutputForm("regex", None, "bad")
    for _ in range(5):
        last = (await one(engine, bad)).last
        assert last is not None
        assert last.error is not None
        assert (last.ending, last.error.code) == ("failed", "unsupported_output")
        assert "too many states" in last.error.message
    ran = await run_engine(engine, [formed(1, bad), formed(2, FORMS["word"], prompt=PROMPT, max_tokens=60)])
    assert fault(ran["turn-2:1"].text, FORMS["word"]) == ""


async def test_what_was_streamed_outside_the_form_is_refused(engine: TransformersEngine) -> None:
    free = (await run_engine(engine, [request(1, prompt=PROMPT, max_tokens=5, temperature=0)]))["turn-1:1"]
    last = (await one(engine, FORMS["word"], streamed=tuple(free.token_ids))).last
    assert last is not None
    assert last.error is not None
    assert last.error.code == INVALID_OUTPUT


async def test_any_small_schema_is_kept_to_or_the_answer_was_cut(engine: TransformersEngine) -> None:
    """Hypothesis draws on a thread, the engine runs on this loop."""
    loop = asyncio.get_running_loop()

    @settings(max_examples=12, deadline=None)
    @given(st.lists(schemas(), min_size=8, max_size=8))
    def kept_to(drawn: list[dict[str, Any]]) -> None:
        asked = [
            formed(number, OutputForm("json_schema", schema), prompt=PROMPT, max_tokens=100)
            for number, schema in enumerate(drawn)
        ]
        ended = asyncio.run_coroutine_threadsafe(run_engine(engine, asked), loop).result()
        for each, ran in zip(asked, ended.values(), strict=True):
            assert each.body.output is not None
            assert ran.last is not None
            assert ran.last.ending in {"stop", "length"}
            assert ran.last.ending == "length" or fault(ran.text, each.body.output) == ""

    await asyncio.to_thread(kept_to)


async def test_a_killed_worker_is_replaced_in_mid_answer(queue: Any, start_worker: StartWorker) -> None:
    """The client sees the undisturbed run's text, how likely each token was, and neither gap nor repeat in the numbers."""
    line = {"type": "string", "minLength": 20, "maxLength": 40}
    form = OutputForm("json_schema", {"type": "array", "items": line, "minItems": 40, "maxItems": 40})

    def asked(number: int) -> Submission:
        return in_form(submission(number, prompt=PROMPT, max_tokens=1000, seed=3, logprobs=2), form)

    args = {"engine": "transformers", "model": MODEL, "slots": 8, "lease_s": 1}
    first = start_worker("first", **args)
    await queue.enqueue([asked(0)])
    undisturbed = (await outcomes(queue, 1))["turn-0"]
    assert undisturbed.text is not None
    assert (undisturbed.state, fault(undisturbed.text, form)) == ("succeeded", "")
    await queue.enqueue([asked(1)])
    await until(lambda: has_text(queue, "task-1"))
    first.signal(signal.SIGKILL)
    first.wait()
    start_worker("second", **args)
    ended = (await outcomes(queue, 1, reap=True))["turn-1"]
    assert (ended.state, ended.text, ended.attempt) == ("succeeded", undisturbed.text, 2)
    assert ended.usage == undisturbed.usage
    assert await streamed_text(queue, "task-1") == undisturbed.text
    told, again = [await told_of(queue, task) for task in ("task-0", "task-1")]
    assert [one.token for one in again] == [one.token for one in told]
    assert [one.logprob for one in again] == pytest.approx([one.logprob for one in told], abs=1e-3)
    await check_a_cut_answer(queue)


async def check_a_cut_answer(queue: Any) -> None:
    """It fails, says why, and is kept."""
    await queue.enqueue([in_form(submission(2, prompt=PROMPT, max_tokens=6), PERSON)])
    ended = (await outcomes(queue, 1))["turn-2"]
    assert ended.error is not None
    assert (ended.state, ended.finish_reason, ended.error.code) == ("failed", "length", INVALID_OUTPUT)
    assert "it was cut after 6 tokens" in ended.error.message
    assert ended.text
    assert ended.text == await streamed_text(queue, "task-2")


def in_form(one: Submission, form: OutputForm) -> Submission:
    return msgspec.structs.replace(one, body=msgspec.structs.replace(one.body, output=form))


async def has_text(queue: Any, task: str) -> bool:
    return sum(event.kind == "text" for event in await queue.read_log(task)) > 5
