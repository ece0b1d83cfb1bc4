"""A legacy completion's choices, in chunks and whole. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from agents.faces.openai.gathering import Gathered
from agents.faces.openai.outcome import Outcome, finish_reason, usage


class CompletionForm:
    """Choices of a streamed `text_completion`; `echoed` are the prompts that come before the text, or empty strings."""

    def __init__(self, echoed: Sequence[str]) -> None:
        self._echoed = echoed

    def begin(self, index: int) -> str:
        return self._choice(index, msgspec.json.encode(self._echoed[index]).decode()) if self._echoed[index] else ""

    def text(self, index: int, literal: str, logprobs: str) -> str:
        return self._choice(index, literal)

    def end(self, index: int, outcome: Outcome, logprobs: str) -> list[str]:
        return [self._choice(index, '""', f'"{finish_reason(outcome)}"')]

    def _choice(self, index: int, literal: str, reason: str = "null") -> str:
        return f'{{"text":{literal},"index":{index},"logprobs":null,"finish_reason":{reason}}}'


def completion(head: Mapping[str, Any], choices: Sequence[Gathered], *, echoed: Sequence[str]) -> dict[str, Any]:
    """A `text_completion` of answers that succeeded. `head`: its `id`, `created` (seconds since 1970) and `model`."""
    return {
        **head,
        "object": "text_completion",
        "choices": [_whole(index, *one) for index, one in enumerate(zip(choices, echoed, strict=True))],
        "usage": usage(*(one.outcome for one in choices if one.outcome)),
    }


def _whole(index: int, answer: Gathered, echoed: str) -> dict[str, Any]:
    return {
        "text": echoed + answer.text,
        "index": index,
        "logprobs": None,
        "finish_reason": finish_reason(answer.outcome or Outcome("failed")),
    }
