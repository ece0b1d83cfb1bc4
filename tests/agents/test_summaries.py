"""When a conversation is summed up, and what stands where then."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from agents.context_settings import ContextSetting, checked_context, setting_of
from agents.problems import Problem
from agents.submissions import body_of
from agents.summaries import (
    INSTRUCTION,
    REQUEST,
    Measured,
    Plan,
    plan_of,
    replaced,
    summary_body,
    summary_message,
    with_summary,
)
from taskqueue.messages import ContextRule

SETTING = ContextSetting(strategy="summarise", max_tokens=1000, keep_last=3, summarise_at=0.5, summary_tokens=64)
PAST: list[dict[str, Any]] = [
    {"role": "assistant" if number % 2 else "user", "content": f"{number}"} for number in range(10)
]
IDS = [f"id-{number}" for number in range(10)]
SAID = [{"role": "user", "content": "x" * 40}]  # some 10 tokens


def plan(**more: Any) -> Plan | None:
    given: dict[str, Any] = {
        "past": PAST,
        "ids": IDS,
        "before": 1,
        "said": SAID,
        "setting": SETTING,
        "measured": Measured(400, 100, 2000, 0),
    }
    return plan_of(**{**given, **more})


@pytest.mark.parametrize(
    ("measured", "max_tokens", "due"),
    [
        (Measured(400, 90, 2000, 0), 1000, False),  # 400 + 90 + 10 is the half of 1000
        (Measured(400, 91, 2000, 0), 1000, True),
        (Measured(400, 91, 2000, 0), None, False),  # the model's limit, as it was told
        (Measured(900, 91, 2000, 0), None, True),
        (Measured(10, 1, 2000, 2), 1000, True),  # something had been left out
        (Measured(10_000, 1, None, 0), None, False),  # nobody knows a limit
        (None, 1000, False),  # by length: it is short
        (None, 20, True),
        (None, None, False),
    ],
)
def test_when_it_is_due(measured: Measured | None, max_tokens: int | None, due: bool) -> None:
    setting = msgspec.structs.replace(SETTING, max_tokens=max_tokens)
    assert (plan(measured=measured, setting=setting) is not None) == due


@pytest.mark.parametrize(
    ("keep_last", "count"),
    [(1, 10), (2, 10), (3, 8), (4, 8), (5, 6), (None, 8), (10, 2), (12, None)],
)
def test_an_answer_is_not_parted_from_its_question(keep_last: int | None, count: int | None) -> None:
    found = plan(measured=Measured(999, 1, None, 0), setting=msgspec.structs.replace(SETTING, keep_last=keep_last))
    assert found == (None if count is None else Plan(first=1, count=count, last=IDS[count - 1], tokens=64))


def test_the_next_summary_takes_the_earlier_one_in() -> None:
    past, ids = with_summary(PAST, IDS, {"id-1": "old", "id-5": "newer", "gone": "of a message that was deleted"})
    assert past == [summary_message("newer"), *PAST[6:]]
    assert ids == ["", *IDS[6:]]
    found = plan(past=past, ids=ids, measured=Measured(999, 1, None, 0))
    assert found == Plan(first=1, count=3, last="id-7", tokens=64)
    assert plan(past=past[:1], ids=ids[:1], measured=Measured(999, 1, None, 0)) is None  # there is nothing new
    assert with_summary(PAST, IDS, {}) == (PAST, IDS)


def test_the_turn_that_writes_it_and_the_input_behind_it() -> None:
    asked = [{"role": "system", "content": "s"}, *PAST, *SAID]
    rule = {"context": {"strategy": "trim", "max_tokens": 900}, "tools": [{"name": "f"}], "tools_run_here": True}
    body = body_of(asked, {"max_tokens": 7, "temperature": 1.0, "stop": ["x"]}, rule, output_form="")
    one = Plan(first=1, count=8, last="id-7", tokens=64)
    turn = summary_body(body, one)
    assert [message.content for message in turn.messages] == [INSTRUCTION, *"01234567", REQUEST]
    assert (turn.tools, turn.tools_run_here, turn.output, turn.summarises) == ((), False, None, 8)
    assert (turn.params.max_tokens, turn.params.temperature, turn.params.stop) == (64, 0.0, ())
    assert turn.context == ContextRule(strategy="trim", max_tokens=900)
    assert replaced(asked, one, " They counted. ") == [
        asked[0], summary_message("They counted."), *PAST[8:], *SAID,
    ]  # fmt: skip


def test_settings_of_agent_and_task() -> None:
    assert checked_context({}) == {}
    assert setting_of({}, {}) is None
    agents = checked_context({"strategy": "summarise", "max_tokens": 100})
    merged = setting_of(agents, {"strategy": "trim"})
    assert merged is not None
    assert (merged.strategy, merged.max_tokens, merged.kept) == ("trim", 100, 1)
    assert merged.rule == ContextRule(strategy="trim", max_tokens=100)
    fails = setting_of({}, {"strategy": "fail"})
    assert fails is not None
    assert fails.rule == ContextRule()
    with pytest.raises(Problem, match=r"context\.summarise_at"):
        checked_context({"summarise_at": 2})
    with pytest.raises(Problem, match="unknown field `strategie`; known are strategy, max_tokens"):
        checked_context({"strategie": "trim"})
