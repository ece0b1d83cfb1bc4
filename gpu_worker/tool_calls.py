"""From what the model writes to what is shown and what it wants called, while it comes. Pure.

Models are taught to write a call as text. The form here is that of the Hermes models, which Qwen and many others share:

    <tool_call>
    {"name": "weather", "arguments": {"city": "Oslo"}}
    </tool_call>

What stands between the tags is not shown. What has been shown after a text depends on that text alone, not on its pieces:
so another worker that feeds the text so far into a fresh `ToolCalls` stands exactly where the first one stood.
"""

from __future__ import annotations

from typing import Any

import msgspec

from taskqueue.messages import ToolCall

OPENS, CLOSES = "<tool_call>", "</tool_call>"


class _Written(msgspec.Struct, frozen=True):
    """A call as the model writes it."""

    name: str
    arguments: dict[str, Any] = {}


class ToolCalls:
    """One answer. `turn` makes the calls' ids: the same calls have the same ids on whichever worker they are read."""

    def __init__(self, turn: str) -> None:
        self._turn = turn.replace("-", "")
        self._held = ""
        self._inside = False
        self.found: list[ToolCall] = []

    def push(self, text: str) -> str:
        """What of this piece, and of what was held back before, is to be shown."""
        self._held += text
        shown = ""
        while True:
            before, tag, behind = self._held.partition(CLOSES if self._inside else OPENS)
            if not tag:
                break
            shown += self._read(before) if self._inside else before
            self._held, self._inside = behind, not self._inside
        if not self._inside:
            cut = len(self._held) - _overlap(self._held, OPENS)
            shown += self._held[:cut]
            self._held = self._held[cut:]
        return shown

    def flush(self) -> str:
        """The answer ends here: what was held back. A call that was not closed is read all the same, if it is whole."""
        rest, self._held = self._held, ""
        return self._read(rest, closing="") if self._inside else rest

    def _read(self, written: str, *, closing: str = CLOSES) -> str:
        """Take a call in. What is none is shown as it was written: nothing that the model said gets lost."""
        try:
            call = msgspec.json.decode(written.strip(), type=_Written)
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            return OPENS + written + closing
        arguments = msgspec.json.encode(call.arguments).decode()
        self.found.append(ToolCall(f"call_{self._turn}_{len(self.found)}", call.name, arguments))
        return ""


def _overlap(text: str, tag: str) -> int:
    """How many characters at the end of `text` may be the beginning of `tag`."""
    return next((size for size in range(min(len(tag) - 1, len(text)), 0, -1) if text.endswith(tag[:size])), 0)
