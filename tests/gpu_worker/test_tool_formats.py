"""The formats of tool calls: what is read of each, that pieces do not matter, what it is guided by, and how it is known."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llguidance import LLMatcher, LLTokenizer

from gpu_worker.call_check import fault_of_calls
from gpu_worker.call_grammar import CannotGuide, grammar_of_answer
from gpu_worker.tool_calls import ToolCalls
from gpu_worker.tool_formats.chosen import FORMATS, chosen
from gpu_worker.tool_formats.deepseek import DEEPSEEK_V3, DEEPSEEK_V31
from gpu_worker.tool_formats.form import NAME, ToolFormat
from gpu_worker.tool_formats.hermes import HERMES
from gpu_worker.tool_formats.llama import LLAMA
from gpu_worker.tool_formats.mistral import MISTRAL, MISTRAL_NAMED, MISTRAL_PLAIN
from gpu_worker.tool_formats.qwen_coder import QWEN_CODER
from taskqueue.messages import ChatMessage, OutputForm, ToolCall, ToolSpec, TurnBody
from tests.gpu_worker.tools import NOW, WEATHER

OSLO, BERGEN = '{"city":"Oslo","days":1}', '{"city":"</tool_call> [TOOL_CALLS]\\"","days":2}'
MARKED = '{"city":"[ARGS]\\"</t>","days":2}'
GUIDED = [one for one in FORMATS.values() if one.shape]
ANY_OBJECT, LETTERS = OutputForm("json_object"), OutputForm("regex", None, "[a/]+\n?")


def write(form: ToolFormat, *calls: tuple[str, str], begin: str | None = None) -> str:
    """As a model of that format writes calls."""
    assert form.shape is not None
    shape = form.shape
    parts = [shape.before.replace(NAME, name) + arguments + shape.after for name, arguments in calls]
    return (shape.begin if begin is None else begin) + shape.between.join(parts) + shape.end


def read(form: ToolFormat, *pieces: str, only_first: bool = False) -> tuple[str, list[tuple[str, str]]]:
    calls = ToolCalls("turn", form=form, tools=(WEATHER, NOW), only_first=only_first)
    shown = "".join(map(calls.push, pieces)) + calls.flush()
    return shown, [(call.name, call.arguments) for call in calls.found]


@pytest.mark.parametrize(
    ("form", "text", "shown", "found"),
    [
        *(
            (one, write(one, ("weather", OSLO), ("now", "{}")), "", [("weather", OSLO), ("now", "{}")])
            for one in GUIDED
        ),
        *((one, write(one, ("weather", BERGEN)), "", [("weather", BERGEN)]) for one in GUIDED),
        (LLAMA, f'<|python_tag|>{{"name": "weather", "parameters": {OSLO}}}', "", [("weather", OSLO)]),
        (LLAMA, f'{{"name": "someone", "parameters": {OSLO}}}', f'{{"name": "someone", "parameters": {OSLO}}}', []),
        (LLAMA, '{"name": "now"}', '{"name": "now"}', []),
        (LLAMA, '{"answer": 42} <|python_tag|>{"name": "now", "parameters": {}}', '{"answer": 42} ', [("now", "{}")]),
        (LLAMA, '{"name": "now", "parameters": {}}; {"na', '; {"na', [("now", "{}")]),
        (
            MISTRAL,
            f'Hm.[TOOL_CALLS] [{{"name": "weather", "arguments": {OSLO}, "id": "a"}}]',
            "Hm.",
            [("weather", OSLO)],
        ),
        (MISTRAL, '[TOOL_CALLS][{"name": "now", "arguments": {}}, {"name"', ', {"name"', [("now", "{}")]),
        (MISTRAL, "[TOOL_CALLS] are fine", "[TOOL_CALLS] are fine", []),
        (MISTRAL_NAMED, f"[TOOL_CALLS]weather[CALL_ID]a1[ARGS]{OSLO}", "", [("weather", OSLO)]),
        (MISTRAL_PLAIN, "[TOOL_CALLS]now{}[TOOL_CALLS]weather{", "[TOOL_CALLS]weather{", [("now", "{}")]),
        (DEEPSEEK_V3, write(DEEPSEEK_V31, ("weather", OSLO)), "", [("weather", OSLO)]),
        (
            DEEPSEEK_V31,
            "<｜tool▁calls▁begin｜>x<｜tool▁calls▁end｜>",
            "<｜tool▁calls▁begin｜>x<｜tool▁calls▁end｜>",
            [],
        ),
        (
            QWEN_CODER,
            (
                "So:\n<tool_call>\n<function=weather>\n<parameter=city>\n7\n</parameter>\n<parameter=days>\n2\n</parameter>\n"
                "</function>\n</tool_call>\n<tool_call>\n<function=now>\n</function>\n</tool_call>"
            ),
            "So:\n",
            [("weather", '{"city":"7","days":2}'), ("now", "{}")],
        ),
        (QWEN_CODER, "<tool_call>it</tool_call>!", "<tool_call>it</tool_call>!", []),
    ],
)
def test_what_is_shown_and_what_is_called(
    form: ToolFormat, text: str, shown: str, found: list[tuple[str, str]]
) -> None:
    assert read(form, text) == (shown, found)
    assert read(form, *text) == (shown, found)


PIECES = [
    "x", "\n", "<", "[", "{", '"', "\\", *(marker for one in FORMATS.values() for marker in one.markers),
    *(write(one, ("weather", BERGEN)) for one in GUIDED), '{"name": "now", "parameters": {}}', "<function=now></function>",
]  # fmt: skip


@given(
    st.sampled_from(list(FORMATS.values())), st.lists(st.sampled_from(PIECES), max_size=6), st.booleans(), st.integers()
)
def test_pieces_do_not_matter_nor_does_another_worker_in_the_middle(
    form: ToolFormat, parts: list[str], only_first: bool, seed: int
) -> None:
    """Read at once, character by character, and by one that is given the text so far: the same, at every place."""
    text = "".join(parts)
    whole = read(form, text, only_first=only_first)
    one = ToolCalls("turn", form=form, tools=(WEATHER, NOW), only_first=only_first)
    cut = random.Random(seed).randint(0, len(text))
    shown = "".join(one.push(character) for character in text[:cut])
    other = ToolCalls("turn", form=form, tools=(WEATHER, NOW), only_first=only_first)
    assert other.push(text[:cut]) == shown
    shown += other.push(text[cut:]) + other.flush()
    assert (shown, [(call.name, call.arguments) for call in other.found]) == whole
    assert read(form, *text, only_first=only_first) == whole


@pytest.mark.parametrize("form", [one for one in FORMATS.values() if one.quoted])
def test_a_string_of_many_closing_tags_is_read_in_no_time(form: ToolFormat) -> None:
    """Each piece is looked at once. Were all looked at again with each new one, a worker would stand still for minutes."""
    pieces = [form.opens, '"', *[form.closes] * 5000]
    assert read(form, *pieces) == ("".join(pieces), [])


def test_an_answer_of_a_form_has_calls_at_its_beginning_only() -> None:
    text = '{"text": "<tool_call>{\\"name\\": \\"now\\"}</tool_call>"}'
    assert read(HERMES, text, only_first=True) == (text, [])
    assert read(HERMES, "\n" + write(HERMES, ("now", "{}")), only_first=True)[1] == [("now", "{}")]
    assert read(LLAMA, '{"name": "now", "parameters": {}}', only_first=True)[1] == []


def admits(grammar: str, text: str) -> bool:
    tokens = LLTokenizer("byte")
    matcher = LLMatcher(tokens, grammar, log_level=0)
    assert not matcher.is_error(), matcher.get_error()
    ids = tokens.tokenize_str(text)
    return bool(matcher.try_consume_tokens(ids) == len(ids) and matcher.is_accepting())


def no_token(_: str) -> None:
    """A vocabulary without special tokens."""


@pytest.mark.parametrize("form", GUIDED, ids=lambda one: one.name)
def test_what_the_grammar_admits_is_what_is_read(form: ToolFormat) -> None:
    """And nothing else: what a model that babbles writes under it is valid calls, text, or the form."""
    tools, shape = (WEATHER, NOW), form.shape
    assert shape is not None
    one, two = write(form, ("weather", OSLO)), write(form, ("weather", MARKED), ("now", "{}"))
    bad = write(form, ("weather", '{"city":"Oslo","days":4}'))
    must = grammar_of_answer(TurnBody(tools=tools, tool_choice="required"), form, token_id=no_token)
    assert [admits(must, text) for text in (one, two, bad, "Hello", "")] == [True, True, False, False, False]
    single = grammar_of_answer(TurnBody(tools=tools, parallel_tool_calls=False), form, token_id=no_token)
    assert [admits(single, text) for text in (one, two, bad, "Hello\n", "")] == [True, False, False, True, True]
    some = grammar_of_answer(TurnBody(tools=tools, allowed_tools=("now",)), form, token_id=no_token)
    assert [admits(some, text) for text in (one, write(form, ("now", "{}")), "Hello")] == [False, True, True]
    begin = shape.begin or form.opens
    tagged = write(form, ("weather", MARKED), begin=begin)
    for output, text in ((ANY_OBJECT, '{"name":"now","parameters":{}}'), (LETTERS, "a/\n")):
        either = grammar_of_answer(TurnBody(tools=tools, output=output), form, token_id=no_token)
        assert [admits(either, each) for each in (tagged, text, "Hello")] == [True, True, False]
        assert read(form, tagged, only_first=True) == ("", [("weather", MARKED)])
        assert read(form, text, only_first=True) == (text, [])


def test_what_is_not_guided() -> None:
    free = TurnBody(tools=(NOW,))
    assert grammar_of_answer(free, HERMES, token_id=no_token) == ""
    assert grammar_of_answer(TurnBody(tools=(WEATHER,), tool_choice="none"), HERMES, token_id=no_token) == ""
    with pytest.raises(CannotGuide, match="not JSON"):
        grammar_of_answer(TurnBody(tools=(WEATHER,)), QWEN_CODER, token_id=no_token)


def test_only_what_arguments_are_held_to_is_guided_by() -> None:
    """Another tool's schema may be one that nothing can be guided by."""
    odd = ToolSpec("odd", "", {"type": "object", "not": {"required": ["a"]}})
    guided = grammar_of_answer(TurnBody(tools=(WEATHER, odd)), HERMES, token_id=no_token)
    assert admits(guided, write(HERMES, ("odd", '{"a":1}')))
    assert not admits(guided, write(HERMES, ("weather", "{}")))


def test_special_tokens_are_known_by_their_ids() -> None:
    ids = {"<tool_call>": 7, "[TOOL_CALLS]": 8}
    must = TurnBody(tools=(NOW,), tool_choice="required")
    assert "<[7]>" in grammar_of_answer(must, HERMES, token_id=ids.get)
    assert "<[8]>" in grammar_of_answer(must, MISTRAL, token_id=ids.get)


@pytest.mark.parametrize(
    ("how", "calls", "why"),
    [
        ({}, [], ""),
        ({"tool_choice": "required"}, [], "calls no tool"),
        ({"tool_choice": "required"}, [("now", "{}")], ""),
        ({"tool_choice": "required"}, [("now", '{"a":1}')], "'now' do not fit"),
        ({"tool_choice": "required"}, [("later", "{}")], "'later', which is none of weather, now"),
        ({"allowed_tools": ("now",)}, [("weather", OSLO)], "none of now"),
        ({}, [("weather", "{}")], "'city' is a required property"),
        ({}, [("now", '{"a":1}'), ("later", "{}")], ""),
        ({"parallel_tool_calls": False}, [("now", "{}"), ("now", "{}")], "calls 2 tools"),
    ],
)
def test_the_last_word_on_calls(how: dict[str, object], calls: list[tuple[str, str]], why: str) -> None:
    body = TurnBody(tools=(WEATHER, NOW), **how)  # type: ignore[arg-type]
    fault = fault_of_calls(body, [ToolCall("id", *call) for call in calls])
    assert why in fault if why else fault == ""


def test_where_opsite_makes_the_calls_one_is_enough() -> None:
    said = ChatMessage("user", "Hi")
    body = TurnBody(tools=(NOW,), tool_choice="required", tools_run_here=True, messages=(said,))
    assert body.must_call
    after = TurnBody(
        tools=(NOW,), tool_choice="required", tools_run_here=True, messages=(said, ChatMessage("tool", "5"))
    )
    assert not after.must_call


def test_arguments_are_an_object_and_none_where_there_are_no_parameters() -> None:
    assert NOW.arguments_schema == {"type": "object", "additionalProperties": False}
    assert ToolSpec("x", "", {"properties": {}}).arguments_schema == {"type": "object", "properties": {}}


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("", "hermes"),
        (r'"<tool_call>\n{\"name\": <function-name>, \"arguments\": <args-json-object>}\n</tool_call>"', "hermes"),
        ("<tool_call>\n<function=example>\n<parameter=a>", "qwen_coder"),
        ('{{ "<|start_header_id|>" }} {"name": function name, "parameters": dictionary}', "llama"),
        ("{{ '[TOOL_CALLS] [' }}{{ tool_call.function|tojson }}", "mistral"),
        ("'[TOOL_CALLS]' + name + '[ARGS]' + arguments", "mistral_named"),
        ("<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>x\n```json", "deepseek_v3"),
        ("<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>x<｜tool▁sep｜>", "deepseek_v31"),
        ({"default": "", "tool_use": "<tool_call> <function="}, "qwen_coder"),
        (None, "hermes"),
    ],
)
def test_a_chat_template_tells_the_format(template: object, name: str) -> None:
    assert chosen("auto", template).name == name
    assert chosen("llama", template).name == "llama"
