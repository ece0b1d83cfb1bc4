"""The sums that tell of an engine's speed, round by round."""

from __future__ import annotations

import pytest

from gpu_worker.engines import EngineOutput
from gpu_worker.meter import Meter
from taskqueue.messages import Finish, Usage


def out(name: str, *tokens: int, ending: str | None = None) -> EngineOutput:
    return EngineOutput(id=name, token_ids=tokens, prompt_tokens=10, ending=ending)  # type: ignore[arg-type]


def finish(prompt: int, answer: int) -> Finish:
    return Finish(turn="a", task="t", attempt=1, seq=9, state="succeeded", usage=Usage(prompt, answer))


def test_a_step_has_one_token_for_each_sequence_and_lasts_from_the_one_before() -> None:
    meter = Meter()
    meter.admitted("a", streamed=0, now=100.0)
    meter.admitted("b", streamed=7, now=100.5)
    meter.collected([out("a", 1), out("b", 2)], now=101.0)
    meter.collected([out("a", 3), out("b", 4)], now=101.25)
    work = meter.read()
    assert (work.steps, work.sequences, work.steps_s) == (2, 4, 1.25)
    assert work.prefilled == 10 + 10 + 7  # a prompt is read once, with what earlier attempts said


def test_a_slow_flush_collects_several_steps_at_once() -> None:
    meter = Meter()
    meter.admitted("a", streamed=0, now=0.0)
    meter.admitted("b", streamed=0, now=0.0)
    meter.collected([out("a", 1), out("b", 1), out("a", 2), out("b", 2, ending="stop"), out("a", 3)], now=3.0)
    meter.collected([out("a", 4, 5)], now=5.0)
    assert (meter.read().steps, meter.read().sequences, meter.read().steps_s) == (5, 7, 5.0)


def test_the_rest_of_a_step_is_no_step_more() -> None:
    meter = Meter()
    for name in "abc":
        meter.admitted(name, streamed=0, now=0.0)
    meter.collected([out("a", 1), out("b", 1), out("c", 1)], now=1.0)
    meter.collected([out("a", 2)], now=2.0)
    meter.collected([out("b", 2), out("c", 2)], now=2.125)
    meter.collected([out("a", 3), out("b", 3), out("c", 3)], now=3.0)
    assert (meter.read().steps, meter.read().sequences, meter.read().steps_s) == (3, 9, 3.0)


def test_time_without_work_is_no_step_s() -> None:
    meter = Meter()
    for begun in (0.0, 50.0):
        meter.admitted("a", streamed=0, now=begun)
        meter.collected([out("a", 1)], now=begun + 2)
        meter.collected([out("a", 2, ending="stop")], now=begun + 3)
        meter.ended([finish(10, 2)], idle=True)
    assert (meter.read().steps, meter.read().steps_s) == (4, 6.0)
    assert (meter.read().turns, meter.read().prompt_tokens, meter.read().answer_tokens) == (2, 20, 4)


@pytest.mark.parametrize("ending", ["failed", "aborted"])
def test_what_ends_without_a_token_counts_for_nothing(ending: str) -> None:
    meter = Meter()
    meter.admitted("a", streamed=0, now=0.0)
    meter.collected([out("a", ending=ending)], now=9.0)
    meter.ended([finish(10, 0)], idle=True)
    assert meter.read() == Meter().read()


def test_a_turn_that_embeds_took_one_place_in_a_step() -> None:
    meter = Meter()
    meter.admitted("a", streamed=0, now=0.0)
    meter.collected([out("a", 0, ending="stop")], now=1.0)
    vectors = Finish(turn="a", task="t", attempt=1, seq=9, state="succeeded", usage=Usage(10, 0), text='["AACAPw=="]')
    meter.ended([vectors], idle=True)
    work = meter.read()
    assert (work.steps, work.sequences, work.prefilled, work.turns) == (1, 1, 10, 1)
    assert (work.prompt_tokens, work.answer_tokens) == (10, 1)
