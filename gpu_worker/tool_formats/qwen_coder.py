"""Calls of Qwen3-Coder and its kin: XML whose values are plain text, or JSON where the parameter is no string.

    <tool_call>
    <function=weather>
    <parameter=city>
    Oslo
    </parameter>
    </function>
    </tool_call>

Values are not written as JSON, so arguments cannot be guided by a JSON schema.
"""

from __future__ import annotations

import re
from typing import Any

from gpu_worker.tool_formats.form import UNREADABLE, Schemas, ToolFormat, Written, compact, leading_json

_FUNCTION = re.compile(r"\s*<function=([^>\s]+)>(.*?)(?:</function>\s*|$)", re.DOTALL)
_PARAMETER = re.compile(r"\s*<parameter=([^>\s]+)>(.*?)</parameter>\s*", re.DOTALL)


def _read(text: str, schemas: Schemas) -> tuple[list[Written], str]:
    function = _FUNCTION.fullmatch(text)
    if function is None:
        return [], text
    name, inner = function.groups()
    properties = schemas.get(name, {}).get("properties", {})
    arguments, rest = {}, inner
    while parameter := _PARAMETER.match(rest):
        key, value = parameter.groups()
        arguments[key] = _value(value.removeprefix("\n").removesuffix("\n"), properties.get(key))
        rest = rest[parameter.end() :]
    try:
        return ([], text) if rest.strip() else ([Written(name, compact(arguments))], "")
    except UNREADABLE:
        return [], text


def _value(text: str, schema: Any) -> Any:
    """Text where the parameter may be nothing else; else JSON, if it is that."""
    if isinstance(schema, dict) and schema.get("type") == "string":
        return text
    try:
        value, rest = leading_json(text.strip())
    except UNREADABLE:
        return text
    return text if rest.strip() else value


QWEN_CODER = ToolFormat(
    name="qwen_coder",
    opens="<tool_call>",
    closes="</tool_call>",
    read=_read,
    shape=None,
    markers=("<tool_call>", "</tool_call>"),
)
