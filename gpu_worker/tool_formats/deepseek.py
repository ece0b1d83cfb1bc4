"""Calls of the DeepSeek models: V3 and R1 name a type and fence the arguments, V3.1 does neither.

<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>weather
```json
{"city": "Oslo"}
```<｜tool▁call▁end｜><｜tool▁calls▁end｜>

<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>weather<｜tool▁sep｜>{"city": "Oslo"}<｜tool▁call▁end｜><｜tool▁calls▁end｜>
"""
# ruff: noqa: RUF002 - the tags of these models have such characters

from __future__ import annotations

import re

from gpu_worker.tool_formats.form import NAME, UNREADABLE, Schemas, Shape, ToolFormat, Written, compact, leading_json

OPENS, CLOSES = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
CALL, SEP, END = "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>"
_HEAD = re.compile(
    rf"\s*{CALL}\s*(?:function{SEP}\s*(?P<fenced>[a-zA-Z0-9_.-]+)\s*```json|(?P<plain>[a-zA-Z0-9_.-]+){SEP})\s*"
)
_TAIL = re.compile(rf"\s*(?:```)?\s*(?:{END}|$)")


def _read(text: str, _: Schemas) -> tuple[list[Written], str]:
    found: list[Written] = []
    rest = text
    while head := _HEAD.match(rest):
        try:
            arguments, behind = leading_json(rest[head.end() :])
        except UNREADABLE:
            break
        tail = _TAIL.match(behind)
        if tail is None or not isinstance(arguments, dict):
            break
        found.append(Written(head["fenced"] or head["plain"], compact(arguments)))
        rest = behind[tail.end() :]
    return found, rest


_MARKERS = (OPENS, CLOSES, CALL, SEP, END)
DEEPSEEK_V3 = ToolFormat(
    name="deepseek_v3",
    opens=OPENS,
    closes=CLOSES,
    read=_read,
    shape=Shape(
        begin=OPENS,
        before=f"{CALL}function{SEP}{NAME}\n```json\n",
        after=f"\n```{END}",
        between="\n",
        end=CLOSES,
    ),
    quoted=True,
    markers=_MARKERS,
)
DEEPSEEK_V31 = DEEPSEEK_V3._replace(
    name="deepseek_v31",
    shape=Shape(begin=OPENS, before=f"{CALL}{NAME}{SEP}", after=END, between="", end=CLOSES),
)
