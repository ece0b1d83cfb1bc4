"""What stands before a request's own messages, and what may stand beside a plain prompt. Pure."""

from __future__ import annotations

from typing import Any

from agents.faces.as_response import AsResponse
from agents.faces.requests import TaskRequest
from agents.problems import bad_field


def preface(system_prompt: str, response: AsResponse | None) -> dict[str, Any] | None:
    """One system message of the agent's instructions and the request's: some chat templates take no second one."""
    text = "\n\n".join(part for part in (system_prompt, response.instructions if response else "") if part)
    return {"role": "system", "content": text} if text else None


def plain_prompt(request: TaskRequest, prompt: str, *, system_prompt: str) -> str:
    """A plain prompt is the model's whole input: raises the `Problem` of what cannot be put beside it."""
    if request.input is not None or request.messages is not None:
        raise bad_field("prompt", "give one of `input`, `messages` and `prompt`")
    if request.conversation is not None:
        raise bad_field("conversation", "a plain prompt has no messages before it; give `input` or `messages`")
    if system_prompt:
        raise bad_field(
            "prompt",
            f"the agent {request.agent!r} has a system prompt, for which a plain prompt has no room; send messages to it",
        )
    return prompt
