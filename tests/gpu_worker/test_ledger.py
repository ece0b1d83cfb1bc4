"""The bookkeeping between engine and queue, step by step."""

from __future__ import annotations

import msgspec
import pytest

from gpu_worker.engines import EngineOutput
from gpu_worker.ledger import Ledger
from taskqueue.messages import (
    INVALID_OUTPUT,
    ClaimedTurn,
    OutputForm,
    Stop,
    StopReason,
    TaskError,
    ToolCall,
    ToolSpec,
    TurnBody,
    Usage,
)


def turn(
    name: str = "a",
    *,
    attempt: int = 1,
    seq: int = 2,
    streamed: tuple[int, ...] = (),
    output: OutputForm | None = None,
) -> ClaimedTurn:
    return ClaimedTurn(
        turn=name,
        task=f"task-{name}",
        tenant="acme",
        attempt=attempt,
        seq=seq,
        enqueued_ms=0,
        deadline_ms=0,
        body=TurnBody(prompt="p", output=output),
        streamed=streamed,
    )


def out(name: str = "a:1", token_id: int = 7, text: str = "x", ending: str | None = None) -> EngineOutput:
    return EngineOutput(id=name, token_ids=(token_id,), text=text, prompt_tokens=5, ending=ending)  # type: ignore[arg-type]


def test_outputs_of_one_turn_become_one_delta() -> None:
    ledger = Ledger()
    ledger.admit(turn("a"))
    ledger.admit(turn("b"))
    flush = ledger.book([out("a:1", 1, "x"), out("b:1", 2, "y"), out("a:1", 3, "z")], now_ms=100)
    assert [(delta.turn, delta.seq, delta.text, delta.token_ids) for delta in flush.deltas] == [
        ("a", 3, "xz", (1, 3)),
        ("b", 3, "y", (2,)),
    ]
    assert flush.finishes == []
    assert (len(ledger), ledger.tokens_total) == (2, 3)


def test_the_end_has_the_whole_text_and_the_next_number() -> None:
    ledger = Ledger()
    ledger.admit(turn())
    ledger.book([out(text="one ")], now_ms=100)
    flush = ledger.book([out(text="two", ending="stop")], now_ms=200)
    assert [delta.seq for delta in flush.deltas] == [4]
    finish = flush.finishes[0]
    assert (finish.state, finish.finish_reason, finish.seq, finish.text) == ("succeeded", "stop", 5, "one two")
    assert (finish.usage, finish.first_token_ms) == (Usage(5, 2), 100)
    assert len(ledger) == 0


def test_a_summary_that_is_cut_short_is_not_its_task_s_answer() -> None:
    """Else a conversation would keep it as what the agent said when it was interrupted."""
    asks = msgspec.structs.replace(turn(), body=TurnBody(prompt="p", summarises=3))
    ledger = Ledger()
    ledger.admit(asks)
    ledger.book([out(text="They spoke")], now_ms=100)
    ledger.stop([Stop("a", "cancelled")], concerning=["a:1"])
    (cut,) = ledger.book([EngineOutput(id="a:1", ending="aborted")], now_ms=200).finishes
    assert (cut.state, cut.goes_on, cut.text, cut.usage) == ("cancelled", False, "", Usage(5, 1))
    ledger.admit(asks)
    (whole,) = ledger.book([out(text="They spoke", ending="stop")], now_ms=300).finishes
    assert (whole.state, whole.goes_on, whole.text) == ("succeeded", True, "They spoke")


def test_a_continued_turn_counts_what_came_before() -> None:
    ledger = Ledger()
    request = ledger.admit(turn(attempt=2, seq=9, streamed=(1, 2, 3)), streamed_text="was ")
    assert (request.id, request.streamed) == ("a:2", (1, 2, 3))
    finish = ledger.book([out("a:2", ending="length")], now_ms=100).finishes[0]
    assert (finish.text, finish.usage, finish.first_token_ms, finish.seq) == ("was x", Usage(5, 4), 100, 11)


@pytest.mark.parametrize("reason", ["cancelled", "expired"])
def test_a_stopped_turn_ends_when_the_engine_has_let_it_go(reason: StopReason) -> None:
    ledger = Ledger()
    ledger.admit(turn())
    assert ledger.stop([Stop("a", reason), Stop("unknown", reason)], concerning=()) == ["a:1"]
    assert ledger.stop([Stop("a", reason)], concerning=()) == []
    assert len(ledger) == 1
    finish = ledger.book([EngineOutput(id="a:1", ending="aborted")], now_ms=1).finishes[0]
    assert (finish.state, finish.finish_reason) == (reason, None)


def test_a_lost_turn_is_not_spoken_of_again() -> None:
    ledger = Ledger()
    ledger.admit(turn())
    assert ledger.stop([Stop("a", "lost")], concerning=["a:1"]) == ["a:1"]
    assert ledger.turns() == {}
    flush = ledger.book([out(), EngineOutput(id="a:1", ending="aborted")], now_ms=1)
    assert (flush.deltas, flush.finishes, len(ledger)) == ([], [], 0)


def test_a_turn_lost_and_claimed_anew_goes_on() -> None:
    ledger = Ledger()
    ledger.admit(turn(attempt=1))
    ledger.admit(turn(attempt=2, seq=8))
    assert ledger.stop([Stop("a", "lost")], concerning=["a:1"]) == ["a:1"]
    flush = ledger.book([out("a:1"), out("a:2")], now_ms=1)
    assert [(delta.attempt, delta.seq) for delta in flush.deltas] == [(2, 9)]


def test_a_failed_turn_says_why() -> None:
    ledger = Ledger()
    ledger.admit(turn())
    error = TaskError("context_length_exceeded", "too long")
    finish = ledger.book([EngineOutput(id="a:1", ending="failed", error=error)], now_ms=1).finishes[0]
    assert (finish.state, finish.error) == ("failed", error)


def test_an_engine_that_drops_a_turn_unasked_fails_it() -> None:
    ledger = Ledger()
    ledger.admit(turn())
    finish = ledger.book([EngineOutput(id="a:1", ending="aborted")], now_ms=1).finishes[0]
    assert (finish.state, finish.error and finish.error.code) == ("failed", "engine_error")


def test_draining_releases_what_neither_ended_nor_was_stopped() -> None:
    ledger = Ledger()
    for name in "abcd":
        ledger.admit(turn(name))
    ledger.stop([Stop("b", "cancelled")], concerning=())
    ledger.stop([Stop("c", "lost")], concerning=["c:1"])
    ledger.draining = True
    aborted = [EngineOutput(id=f"{name}:1", ending="aborted") for name in "abc"]
    flush = ledger.book([out("a:1"), *aborted], now_ms=1)
    assert [delta.turn for delta in flush.deltas] == ["a"]
    assert [(finish.turn, finish.state) for finish in flush.finishes] == [("b", "cancelled")]
    assert ledger.leave() == ["a", "d"]
    assert len(ledger) == 0


@pytest.mark.parametrize(
    ("text", "ending", "state", "words"),
    [
        ("1}", "stop", "succeeded", ""),
        ("1}", "length", "succeeded", ""),  # nothing was cut off
        ("1", "length", "failed", "was cut after 3 tokens"),
        ("1]", "stop", "failed", "is no JSON"),
        ('"x"}', "stop", "failed", "at $.a: 'x' is not of type 'integer'"),
    ],
)
def test_an_answer_without_its_form_fails_and_is_kept(text: str, ending: str, state: str, words: str) -> None:
    """The whole counts, what earlier attempts showed included."""
    form = OutputForm("json_schema", {"type": "object", "properties": {"a": {"type": "integer"}}})
    ledger = Ledger()
    ledger.admit(turn(attempt=2, streamed=(4, 5), output=form), streamed_text='{"a":')
    (finish,) = ledger.book([out("a:2", 7, text, ending)], now_ms=1).finishes
    assert (finish.state, finish.text, finish.finish_reason) == (state, '{"a":' + text, ending)
    if words:
        assert finish.error is not None
        assert finish.error.code == INVALID_OUTPUT
        assert words in finish.error.message


@pytest.mark.parametrize("ending", ["aborted", "failed"])
def test_what_ended_otherwise_is_not_held_to_its_form(ending: str) -> None:
    ledger = Ledger()
    ledger.admit(turn(output=OutputForm("json_object")))
    ledger.stop([Stop("a", "cancelled")], concerning=["a:1"])
    (finish,) = ledger.book([out("a:1", 7, "{", ending)], now_ms=1).finishes
    assert finish.error is None or finish.error.code == "engine_error"


CALLED = '<tool_call>{"name":"now"}</tool_call>'


def with_tools(*, run_here: bool, **more: object) -> ClaimedTurn:
    body = TurnBody(prompt="p", tools=(ToolSpec("now"),), tools_run_here=run_here)
    return msgspec.structs.replace(turn(**more), body=body)  # type: ignore[arg-type]


@pytest.mark.parametrize("run_here", [False, True])
def test_calls_are_not_shown_but_logged_and_told_at_the_end(run_here: bool) -> None:
    ledger = Ledger()
    ledger.admit(with_tools(run_here=run_here))
    flush = ledger.book([out(text="See. "), out(text=CALLED, ending="stop")], now_ms=1)
    assert [(delta.text, delta.raw) for delta in flush.deltas] == [("See. ", "See. " + CALLED)]
    finish = flush.finishes[0]
    assert (finish.state, finish.finish_reason, finish.text) == ("succeeded", "tool_calls", "See. ")
    assert (finish.tool_calls, finish.goes_on) == ((ToolCall("call_a_0", "now", "{}"),), run_here)


def test_another_worker_goes_on_in_the_middle_of_a_call() -> None:
    ledger = Ledger()
    ledger.admit(with_tools(run_here=True, attempt=2, seq=9, streamed=(1, 2)), streamed_text="See. " + CALLED[:20])
    flush = ledger.book([out("a:2", text=CALLED[20:], ending="stop")], now_ms=1)
    assert [(delta.seq, delta.text, delta.raw) for delta in flush.deltas] == [(10, "", CALLED[20:])]
    assert (flush.finishes[0].text, flush.finishes[0].tool_calls) == ("See. ", (ToolCall("call_a_0", "now", "{}"),))


def test_what_was_held_back_is_shown_at_the_end() -> None:
    ledger = Ledger()
    ledger.admit(with_tools(run_here=True))
    flush = ledger.book([out(text="a <tool", ending="length")], now_ms=1)
    assert [(delta.seq, delta.text, delta.raw, delta.token_ids) for delta in flush.deltas] == [
        (3, "a ", "a <tool", (7,)),
        (4, "<tool", "", ()),
    ]
    assert (flush.finishes[0].text, flush.finishes[0].goes_on, flush.finishes[0].seq) == ("a <tool", False, 5)


def test_a_turn_that_is_cancelled_or_cut_makes_no_calls_of_a_failed_one() -> None:
    ledger = Ledger()
    ledger.admit(with_tools(run_here=True))
    ledger.book([out(text=CALLED)], now_ms=1)
    ledger.stop([Stop("a", "cancelled")], concerning=())
    finish = ledger.book([EngineOutput(id="a:1", ending="aborted")], now_ms=1).finishes[0]
    assert (finish.state, finish.tool_calls, finish.goes_on) == ("cancelled", (), False)
