"""Token ids to text while they come: whole characters only, and nothing that may still become a stop string.

What has been released after n ids depends on those n ids alone, not on how they were grouped into steps. So another
worker that feeds the streamed ids into a fresh `Answer` stands exactly where the first one stood.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

Decode = Callable[[Sequence[int]], str]

TAIL = 6
"""Ids decoded before the new ones: decoders that treat the start of a text in a special way then see its middle."""

WINDOW = 24
"""Ids decoded together before the window is cut back to its tail: decodes stay short however long the answer."""

LONGEST_CHARACTER = 6
"""Ids that may wait for a whole character; more of them are no character (UTF-8 has at most 4 bytes)."""

_BROKEN = "\N{REPLACEMENT CHARACTER}"


class Detokenizer:
    """Ids to text, one id at a time. Text is held back while it ends in an incomplete character."""

    def __init__(self, decode: Decode, prompt_ids: Sequence[int] = ()) -> None:
        self._decode = decode
        self._ids = list(prompt_ids[-TAIL:])
        self._read = len(self._ids)
        self._known = decode(self._ids) if self._ids else ""

    def push(self, token_id: int) -> str:
        """The text that this id completes."""
        self._ids.append(token_id)
        text = self._decode(self._ids)
        if text.endswith(_BROKEN) and len(self._ids) - self._read < LONGEST_CHARACTER:
            return ""
        return self._release(text)

    def flush(self) -> str:
        """What is still held back, as it is."""
        return self._release(self._decode(self._ids)) if self._read < len(self._ids) else ""

    def _release(self, text: str) -> str:
        new = text[len(self._known) :]
        self._known = text
        if len(self._ids) > WINDOW:
            self._ids = self._ids[-TAIL:]
            self._known = self._decode(self._ids)
        self._read = len(self._ids)
        return new


class StopStrings:
    """Holds back text that may be the start of a stop string, and ends at the first one."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""

    def push(self, text: str) -> tuple[str, bool]:
        """The text to release, and whether a stop string was found; the stop string itself is not released."""
        if not self._stops:
            return text, False
        self._held += text
        found = [at for at in map(self._held.find, self._stops) if at >= 0]
        if found:
            released, self._held = self._held[: min(found)], ""
            return released, True
        keep = max(self._overlap(stop) for stop in self._stops)
        cut = len(self._held) - keep
        released, self._held = self._held[:cut], self._held[cut:]
        return released, False

    def flush(self) -> str:
        """What is still held back: it became no stop string."""
        released, self._held = self._held, ""
        return released

    def _overlap(self, stop: str) -> int:
        for size in range(min(len(stop) - 1, len(self._held)), 0, -1):
            if stop.startswith(self._held[-size:]):
                return size
        return 0


class Step(NamedTuple):
    """What one id did to an answer."""

    text: str
    ending: Literal["stop", "length"] | None


class Answer:
    """An answer as it grows: text, stop strings, end-of-text ids and the token budget."""

    def __init__(
        self,
        *,
        decode: Decode,
        prompt_ids: Sequence[int],
        stops: Sequence[str],
        end_ids: frozenset[int],
        max_tokens: int,
    ) -> None:
        self._detokenizer = Detokenizer(decode, prompt_ids)
        self._stops = StopStrings(stops)
        self._end_ids = end_ids
        self._left = max_tokens

    def push(self, token_id: int) -> Step:
        """The next id of the answer. After an ending, push no more."""
        self._left -= 1
        if token_id in self._end_ids:
            return Step(self.close(), "stop")
        text, stopped = self._stops.push(self._detokenizer.push(token_id))
        if stopped:
            return Step(text, "stop")
        if self._left <= 0:
            return self._last(text)
        return Step(text, None)

    def replay(self, streamed: Sequence[int]) -> Literal["stop", "length"] | None:
        """Take in ids whose text was already released; an ending means that only the last word was missing."""
        ending: Literal["stop", "length"] | None = None
        for token_id in streamed:
            ending = self.push(token_id).ending
            if ending:
                break
        return ending

    def close(self) -> str:
        """What is still held back, when the answer ends here."""
        rest, stopped = self._stops.push(self._detokenizer.flush())
        return rest if stopped else rest + self._stops.flush()

    def _last(self, text: str) -> Step:
        rest, stopped = self._stops.push(self._detokenizer.flush())
        return Step(text + rest, "stop") if stopped else Step(text + rest + self._stops.flush(), "length")
