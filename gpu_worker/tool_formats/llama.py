"""Calls of Llama 3.1 and later in JSON: the whole answer is one, or several parted by semicolons.

    <|python_tag|>{"name": "weather", "parameters": {"city": "Oslo"}}

The tag may be missing. Then only an answer that begins as such an object may be a call, and it must name a tool that there is.
"""

from __future__ import annotations

import re

import msgspec

from gpu_worker.tool_formats.form import NAME, UNREADABLE, Call, Schemas, Shape, ToolFormat, Written, leading_json

_KEYS = ("name", "parameters", "arguments", "type")
_FIRST_KEY = re.compile(r'\{\s*(?:"([^"]*)("?)|$)')


def _bare(text: str) -> bool:
    """Whether the answer may still become a call: its first key is one of a call's, as far as it is there."""
    if not text.startswith("{"):
        return False
    found = _FIRST_KEY.match(text)
    if found is None:
        return False
    key, is_whole = found.groups()
    return key is None or (key in _KEYS if is_whole else any(one.startswith(key) for one in _KEYS))


def _read(text: str, _: Schemas) -> tuple[list[Written], str]:
    found: list[Written] = []
    rest = text
    while rest.strip():
        try:
            value, behind = leading_json(rest.lstrip().removeprefix(";").lstrip() if found else rest.lstrip())
            if not isinstance(value, dict) or not ("parameters" in value or "arguments" in value):
                break
            found.append(msgspec.convert(value, Call).written())
        except (*UNREADABLE, msgspec.ValidationError):
            break
        rest = behind
    return found, rest


LLAMA = ToolFormat(
    name="llama",
    opens="<|python_tag|>",
    closes="",
    read=_read,
    shape=Shape(begin="", before=f'{{"name": "{NAME}", "parameters": ', after="}", between="; ", end=""),
    bare=_bare,
    markers=("<|python_tag|>",),
)
