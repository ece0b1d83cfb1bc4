"""Tools that models in these tests are to call."""

from __future__ import annotations

from taskqueue.messages import ToolSpec

WEATHER = ToolSpec(
    "weather",
    "The weather in a city.",
    {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 12}, "days": {"enum": [1, 2, 3]}},
        "required": ["city", "days"],
        "additionalProperties": False,
    },
    strict=True,
)
NOW = ToolSpec("now")
