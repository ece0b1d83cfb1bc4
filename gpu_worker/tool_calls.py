"""From what the model writes to what is shown and what it wants called, while it comes. Pure.

Models are taught to write a call as text, each in a format of its kind (gpu_worker.tool_formats). That text is not shown. What has
been shown after a text depends on that text alone, not on its pieces: so another worker that feeds the text so far into a fresh
`ToolCalls` stands exactly where the first one stood.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from gpu_worker.tool_formats.form import ToolFormat
from gpu_worker.tool_formats.hermes import HERMES
from taskqueue.messages import ToolCall, ToolSpec

_ESCAPED = r'\\["\\]'
"""What in a JSON string is not its end, though it has a quotation mark or comes before one."""


class ToolCalls:
    """One answer. `turn` makes the calls' ids: the same calls have the same ids on whichever worker they are read.

    `only_first`: behind text there are no calls, since the answer has a form that may have anything in it.
    """

    def __init__(
        self, turn: str, *, form: ToolFormat = HERMES, tools: Sequence[ToolSpec] = (), only_first: bool = False
    ) -> None:
        self._turn = turn.replace("-", "")
        self._format = form
        self._schemas = {tool.name: tool.arguments_schema for tool in tools}
        self._only_first = only_first
        self._mark = re.compile(f'{_ESCAPED}|"|{re.escape(form.closes)}')
        self._held = ""
        self._scanned, self._in_string = 0, False
        """How far what is held was searched for the end of the calls, and whether a JSON string is open there."""
        self._opened: str | None = None
        """What stood before the calls that are being read, not to be shown unless they are none; None: no calls are."""
        self._has_text = False
        self._behind_calls = False
        self.found: list[ToolCall] = []

    def push(self, text: str) -> str:
        """What of this piece, and of what was held back before, is to be shown."""
        self._held += text
        shown = ""
        while True:
            if self._opened is None:
                shown += self._outside()
                if self._opened is None:
                    return shown
            elif self._is_no_call():
                self._held, self._opened, self._has_text = self._opened + self._held, None, True
            elif (end := self._end()) >= 0:
                written, self._held = self._held[:end], self._held[end + len(self._format.closes) :]
                shown += self._read(written, closing=self._format.closes)
            else:
                return shown

    def flush(self) -> str:
        """The answer ends here: what was held back. Calls that were not closed are read all the same, if they are whole."""
        shown, closes = "", self._format.closes
        while self._opened is not None:
            written, self._held = self._held, ""
            if closes and closes in written and not self._format.read(written, self._schemas)[0]:
                before, closing, self._held = written.partition(closes)  # it seemed to stand in a string
                shown += self._read(before, closing=closing) + self.push("")
            else:
                shown += self._read(written)
        rest, self._held = self._held, ""
        return shown if self._behind_calls and not rest.strip() else shown + rest

    def _outside(self) -> str:
        """Text as far as no calls can have begun in it, or up to where they begin."""
        if self._only_first and self._has_text:
            return self._release(len(self._held))
        blank = len(self._held) - len(self._held.lstrip())
        if self._format.bare and not (self._has_text or self.found or self._only_first):
            if blank == len(self._held):
                return ""
            if self._format.bare(self._held[blank:]):
                self._open(blank)
                return ""
        at = self._held.find(self._format.opens)
        if at >= 0 and not (self._only_first and self._held[:at].strip()):
            before = self._release(at)
            self._open(len(self._format.opens))
            return before
        count = len(self._held) - _overlap(self._held, self._format.opens)
        if self._behind_calls and blank >= count:
            return ""  # white space between calls is no text, and more calls may come
        text = self._release(count)
        return text + self._release(len(self._held)) if self._only_first and self._has_text else text

    def _release(self, count: int) -> str:
        """So many characters are text."""
        text, self._held = self._held[:count], self._held[count:]
        if text.strip():
            self._has_text, self._behind_calls = True, False
        return "" if self._behind_calls else text

    def _open(self, length: int) -> None:
        """Calls begin behind so many characters."""
        self._opened, self._held = self._held[:length], self._held[length:]
        self._scanned, self._in_string = 0, False

    def _is_no_call(self) -> bool:
        """Whether an answer that began like a call without a tag turns out to be none."""
        bare = self._format.bare
        return bool(bare and not (self._opened or "").strip() and not bare(self._held))

    def _end(self) -> int:
        """Where the calls are closed; -1 where they are not yet. Each character is looked at once, however long the calls get."""
        closes = self._format.closes
        if not closes:
            return -1
        if not self._format.quoted:
            return self._held.find(closes)
        for mark in self._mark.finditer(self._held, self._scanned):
            if mark[0] == closes and not self._in_string:
                return mark.start()
            if mark[0] == '"':
                self._in_string = not self._in_string
            self._scanned = mark.end()
        self._scanned = max(self._scanned, len(self._held) - len(closes) + 1)
        return -1

    def _read(self, written: str, *, closing: str = "") -> str:
        """Take calls in. What is none is shown as it was written: nothing that the model said gets lost."""
        opened, self._opened = self._opened or "", None
        calls, rest = self._format.read(written, self._schemas)
        if not opened.strip() and any(call.name not in self._schemas for call in calls):
            calls = []  # without a tag it was an object of somebody else's
        if not calls:
            self._has_text, self._behind_calls = True, False
            return opened + written + closing
        for call in calls:
            self.found.append(ToolCall(f"call_{self._turn}_{len(self.found)}", call.name, call.arguments))
        self._behind_calls = not rest.strip()
        self._has_text = self._has_text or not self._behind_calls
        return "" if self._behind_calls else rest + closing


def _overlap(text: str, tag: str) -> int:
    """How many characters at the end of `text` may be the beginning of `tag`."""
    return next((size for size in range(min(len(tag) - 1, len(text)), 0, -1) if text.endswith(tag[:size])), 0)
