"""The scripted engine: no model; what it says stands in its arguments. It serves demonstrations and tests of agents with tools.

It is the simulated engine in speed and faults. What it says in a conversation depends on how many answers it has given there: the
first entry of the script first, the last one from then on. A token is a few characters, so that an answer comes in pieces.
"""

from __future__ import annotations

from typing import Annotated, cast

from msgspec import Meta

from gpu_worker.engines.simulated import SimulatedArgs, SimulatedEngine
from taskqueue.messages import TurnBody

CHARS_PER_TOKEN = 4
Script = Annotated[tuple[str, ...], Meta(min_length=1)]


class ScriptedArgs(SimulatedArgs, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The script beside the simulated engine's arguments; `scripts` are for what the user says word for word, before `script`.

    In an entry `{last}` stands for the content of the last message, such as a tool's result.
    """

    script: Script
    scripts: dict[str, Script] = {}


def said(args: ScriptedArgs, body: TurnBody) -> str:
    """What comes next in a conversation: it begins anew with each message of the user's."""
    answers, script = 0, args.script
    for message in body.messages:
        if message.role == "user":
            answers, script = 0, args.scripts.get(message.content, args.script)
        answers += message.role == "assistant"
    last = body.messages[-1].content if body.messages else body.prompt or ""
    return script[min(answers, len(script) - 1)].replace("{last}", last)


class ScriptedEngine(SimulatedEngine):
    """One scripted GPU."""

    ARGS = ScriptedArgs

    def _pieces(self, body: TurnBody) -> tuple[str, ...]:
        text = said(cast("ScriptedArgs", self._args), body)
        return tuple(text[at : at + CHARS_PER_TOKEN] for at in range(0, len(text), CHARS_PER_TOKEN))
