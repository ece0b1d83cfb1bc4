"""The grammar of an answer that may call tools, in llguidance's notation, where more is asked for than the model's best.

| asked for | the answer is |
|---|---|
| `tool_choice` `required` | calls |
| a form of output | calls, or the form |
| `strict` tools, some of the tools only, one call at most | text, and then calls if there are any |
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from gpu_worker.tool_formats.form import NAME, Shape, ToolFormat
from taskqueue.grammar import ANY_OBJECT, form_rule, json_rule
from taskqueue.messages import TurnBody

TokenId = Callable[[str], int | None]
"""The id of a special token by its text; None where the model writes that text as any other."""

ANYTHING = "/(?s:.*)/"


class CannotGuide(Exception):
    """Answers of this model cannot be guided so."""


def grammar_of_answer(body: TurnBody, calls: ToolFormat, *, token_id: TokenId) -> str:
    """The grammar; empty where calls are not to be guided. Raises `CannotGuide`."""
    tools = body.callable_tools
    is_free = body.parallel_tool_calls and not body.allowed_tools and not any(tool.strict for tool in tools)
    if not tools or (is_free and body.output is None and not body.must_call):
        return ""
    if calls.shape is None:
        raise CannotGuide(f"calls of the format {calls.name!r} are not JSON, by which arguments are guided")
    shape, opens = calls.shape, _terminals(calls.opens, token_id)
    if body.output is not None and not shape.begin:
        shape = shape._replace(begin=calls.opens)  # an object without the tag might be the form's as well
    if body.must_call:
        starts = ["start: calls"]
    elif body.output is not None:
        starts = ["start: form | calls", f"form: {form_rule(body.output)}"]
    elif not shape.begin:
        starts = ["start: TEXT | calls", f"TEXT: /\\s*([^{{\\s](?s:.*))?/ & ~{_with(calls.opens)}"]
    elif token_id(calls.opens) is None:
        starts = ["start: TEXT | head behind", f"TEXT: {ANYTHING} & ~{_with(calls.opens)}"]
        starts += [f"head[lazy]: {ANYTHING} {opens}"]
    else:
        starts = [f"start: TEXT | TEXT {opens} behind", f"TEXT: {ANYTHING}"]
    return "\n".join([*starts, *_calls(body, shape, opens=calls.opens, token_id=token_id)])


def _calls(body: TurnBody, shape: Shape, *, opens: str, token_id: TokenId) -> list[str]:
    """The rules of `calls`, and of `behind`, which is the same behind the text by which they begin."""

    def written(text: str) -> str:
        return _terminals(text, token_id)

    numbered = list(enumerate(body.callable_tools))
    several = f"({written(shape.between)} call)*" if body.parallel_tool_calls else ""
    behind = f"{written(shape.begin.removeprefix(opens))} call {several} {written(shape.end)}"
    return [
        f"calls: {written(opens) if shape.begin else ''} behind",
        f"behind: {behind}",
        f"call: {' | '.join(f'call_{number}' for number, _ in numbered)}",
        *(
            f"call_{number}: {written(shape.before.replace(NAME, tool.name))} arguments_{number} {written(shape.after)}"
            for number, tool in numbered
        ),
        *(
            f"arguments_{number}: {json_rule(tool.arguments_schema if tool.strict or body.must_call else ANY_OBJECT)}"
            for number, tool in numbered
        ),
    ]


def _terminals(text: str, token_id: TokenId) -> str:
    """A text, in which the special tokens are known by their ids."""
    parts = re.split(r"(<[^<>\s]+>|\[[A-Z_]+\])", text)
    ids = {part: token_id(part) for part in parts[1::2]}
    pieces: list[str] = [""]
    for part in parts:
        if (known := ids.get(part)) is None:
            pieces[-1] += part
        else:
            pieces += [f"<[{known}]>", ""]
    return " ".join(piece if index % 2 else json.dumps(piece) for index, piece in enumerate(pieces) if piece)


def _with(tag: str) -> str:
    """Any text with the tag in it."""
    return f"/(?s:.*){re.escape(tag)}(?s:.*)/"
