"""A chat completion's choices, in chunks and whole. Pure."""

from __future__ import annotations

from typing import Any

from agents.faces.openai.gathering import Gathered
from agents.faces.openai.outcome import Outcome, finish_reason


class ChatForm:
    """Choices of `chat.completion.chunk`."""

    def begin(self, index: int) -> str:
        return self._choice(index, '{"role":"assistant","content":""}')

    def text(self, index: int, literal: str) -> str:
        return self._choice(index, f'{{"content":{literal}}}')

    def end(self, index: int, reason: str) -> str:
        return self._choice(index, "{}", f'"{reason}"')

    def _choice(self, index: int, delta: str, reason: str = "null") -> str:
        return f'{{"index":{index},"delta":{delta},"logprobs":null,"finish_reason":{reason}}}'


def whole_choice(index: int, answer: Gathered) -> dict[str, Any]:
    """A choice of `chat.completion`."""
    return {
        "index": index,
        "message": {"role": "assistant", "content": answer.text, "refusal": None},
        "logprobs": None,
        "finish_reason": finish_reason(answer.outcome or Outcome("failed")),
    }
