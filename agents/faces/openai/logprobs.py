"""Log probabilities in OpenAI's form: asked for as there, and held until the text of their tokens is shown."""

from __future__ import annotations

from agents.faces.requests import ChatRequest
from agents.problems import bad_field
from agents.sampling import RANGES


def asked(wanted: ChatRequest) -> int | None:
    """The sampling parameter `logprobs`: so many of the likeliest tokens beside each one of the answer."""
    low, high = RANGES["logprobs"]
    if wanted.top_logprobs is not None and not wanted.logprobs:
        raise bad_field("top_logprobs", "needs `logprobs: true`")
    if wanted.top_logprobs is not None and not low <= wanted.top_logprobs <= high:
        raise bad_field("top_logprobs", f"must be between {low:g} and {high:g}, not {wanted.top_logprobs}")
    return (wanted.top_logprobs or 0) if wanted.logprobs else None


def choice(content: str | None) -> str:
    """The `logprobs` of a choice, as JSON text, from a list in JSON."""
    return f'{{"content":{content},"refusal":null}}' if content else "null"


class Logprobs:
    """Those of the tokens whose text was not shown yet; an event's data is a list in JSON, which is passed on as it is."""

    def __init__(self) -> None:
        self._lists: list[str] = []

    def take(self, data: str) -> None:
        """An event `logprobs`."""
        self._lists.append(data[1:-1])

    def read(self) -> str:
        """The `logprobs` of a choice, as JSON text."""
        return choice(f"[{','.join(self._lists)}]" if self._lists else None)

    def release(self) -> str:
        """The same, and nothing is held any more."""
        told = self.read()
        self._lists.clear()
        return told
