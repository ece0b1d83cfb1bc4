"""Calls of the Hermes models, of Qwen 2.5 and 3, and of many others.

<tool_call>
{"name": "weather", "arguments": {"city": "Oslo"}}
</tool_call>
"""

from __future__ import annotations

import msgspec

from gpu_worker.tool_formats.form import NAME, UNREADABLE, Call, Schemas, Shape, ToolFormat, Written


def _read(text: str, _: Schemas) -> tuple[list[Written], str]:
    try:
        return [msgspec.json.decode(text.strip(), type=Call).written()], ""
    except UNREADABLE:
        return [], text


HERMES = ToolFormat(
    name="hermes",
    opens="<tool_call>",
    closes="</tool_call>",
    read=_read,
    shape=Shape(
        begin="<tool_call>\n",
        before=f'{{"name": "{NAME}", "arguments": ',
        after="}",
        between="\n</tool_call>\n<tool_call>\n",
        end="\n</tool_call>",
    ),
    quoted=True,
    markers=("<tool_call>", "</tool_call>"),
)
