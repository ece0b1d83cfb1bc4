"""A chat completion's choices, in chunks and whole. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from agents.faces.openai import chat_tools
from agents.faces.openai.gathering import Gathered
from agents.faces.openai.outcome import Outcome, finish_reason, usage


class ChatForm:
    """Choices of `chat.completion.chunk`."""

    def begin(self, index: int) -> str:
        return self._choice(index, '{"role":"assistant","content":""}')

    def text(self, index: int, literal: str, logprobs: str) -> str:
        return self._choice(index, f'{{"content":{literal}}}', logprobs=logprobs)

    def end(self, index: int, outcome: Outcome, logprobs: str) -> list[str]:
        wanted = []
        if outcome.tool_calls:
            calls = {"tool_calls": chat_tools.calls(outcome.tool_calls, indexed=True)}
            wanted = [self._choice(index, msgspec.json.encode(calls).decode())]
        return [*wanted, self._choice(index, "{}", f'"{finish_reason(outcome)}"', logprobs)]

    def _choice(self, index: int, delta: str, reason: str = "null", logprobs: str = "null") -> str:
        return f'{{"index":{index},"delta":{delta},"logprobs":{logprobs},"finish_reason":{reason}}}'


def whole_choice(index: int, answer: Gathered) -> dict[str, Any]:
    """A choice of `chat.completion`."""
    outcome = answer.outcome or Outcome("failed")
    message: dict[str, Any] = {"role": "assistant", "content": answer.text, "refusal": None}
    if outcome.tool_calls:
        message["content"] = answer.text or None
        message["tool_calls"] = chat_tools.calls(outcome.tool_calls)
    logprobs = msgspec.Raw(answer.logprobs.encode())
    return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": finish_reason(outcome)}


def completion(head: Mapping[str, Any], choices: Sequence[Gathered]) -> dict[str, Any]:
    """A `chat.completion` of answers that succeeded. `head`: its `id`, `created` (seconds since 1970) and `model`."""
    return {
        **head,
        "object": "chat.completion",
        "choices": [whole_choice(index, one) for index, one in enumerate(choices)],
        "usage": usage(*(one.outcome for one in choices if one.outcome)),
    }
