"""Calls of the Mistral models, in the two forms that their tokenizers have had.

    [TOOL_CALLS][{"name": "weather", "arguments": {"city": "Oslo"}}]            up to the tokenizer's version 7
    [TOOL_CALLS]weather[ARGS]{"city": "Oslo"}[TOOL_CALLS]time[ARGS]{}           from version 11 on, there without [ARGS]

Either is read; a model that writes the one or the other is guided by its own.
"""

from __future__ import annotations

import re

import msgspec

from gpu_worker.tool_formats.form import (
    NAME,
    UNREADABLE,
    Call,
    Schemas,
    Shape,
    ToolFormat,
    Written,
    compact,
    leading_json,
)

OPENS = "[TOOL_CALLS]"
_HEAD = re.compile(r"\s*([a-zA-Z0-9_.-]+)\s*(?:\[CALL_ID\][a-zA-Z0-9]*)?(?:\[ARGS\])?\s*(?=\{)")


def _read(text: str, _: Schemas) -> tuple[list[Written], str]:
    listed = text.lstrip().startswith("[")
    return _listed(text.lstrip()) if listed else _named(text)


def _listed(text: str) -> tuple[list[Written], str]:
    """One by one: of a list that was cut off the calls that are whole count."""
    found: list[Written] = []
    rest = text
    while rest and not rest.startswith("]"):
        try:
            value, behind = leading_json(rest[1:].lstrip())
            found.append(msgspec.convert(value, Call).written())
        except (*UNREADABLE, msgspec.ValidationError):
            return found, rest if found else text
        rest = behind.lstrip()
        if not rest.startswith((",", "]")):
            return found, rest
    return found, rest.removeprefix("]")


def _named(text: str) -> tuple[list[Written], str]:
    found: list[Written] = []
    rest = text
    while head := _HEAD.match(rest.removeprefix(OPENS) if found else rest):
        try:
            arguments, behind = leading_json(head.string[head.end() :])
        except UNREADABLE:
            break
        found.append(Written(head.group(1), compact(arguments)))
        rest = behind.lstrip() if behind.lstrip().startswith(OPENS) else behind
    return found, rest


_MARKERS = (OPENS, "[ARGS]", "[CALL_ID]")
MISTRAL = ToolFormat(
    name="mistral",
    opens=OPENS,
    closes="",
    read=_read,
    shape=Shape(begin=f"{OPENS}[", before=f'{{"name": "{NAME}", "arguments": ', after="}", between=", ", end="]"),
    markers=_MARKERS,
)
MISTRAL_NAMED = ToolFormat(
    name="mistral_named",
    opens=OPENS,
    closes="",
    read=_read,
    shape=Shape(begin=OPENS, before=f"{NAME}[ARGS]", after="", between=OPENS, end=""),
    markers=_MARKERS,
)
MISTRAL_PLAIN = MISTRAL_NAMED._replace(
    name="mistral_plain", shape=Shape(begin=OPENS, before=NAME, after="", between=OPENS, end="")
)
