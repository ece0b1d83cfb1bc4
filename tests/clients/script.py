"""What the scripted model says in the examples: to these words of a user's its answers in turn, to any others the verse."""

from __future__ import annotations

import json
from typing import Any

SCRIPT = ("The sea is wide, and keeps its counsel still.",)


def _call(name: str, **arguments: Any) -> str:
    """What a model writes to have a tool called."""
    return f"<tool_call>{json.dumps({'name': name, 'arguments': arguments})}</tool_call>"


SCRIPTS: dict[str, tuple[str, ...]] = {
    "Speak at length.": ("The sea is wide, and keeps its counsel still. " * 200,),
    "How warm is it in Oslo?": (_call("temperature", city="Oslo"), "In Oslo it is {last}."),
    "Who was Ada Lovelace? Give name and year of birth.": ('{"name":"Ada Lovelace","born":1815}',),
    "Make up a person: surname and age.": ('{"surname":"Lovelace","age":36}',),
    "What is 6 times 7?": (_call("calculator", expression="6*7"), "It is {last}."),
}
