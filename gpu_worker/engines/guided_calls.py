"""By which grammar a turn's tool calls are guided, or the refusal of a model whose calls cannot be."""

from __future__ import annotations

from gpu_worker.call_grammar import CannotGuide, TokenId, grammar_of_answer
from gpu_worker.engines.prompting import PromptRefused
from gpu_worker.tool_formats.form import ToolFormat
from taskqueue.messages import TaskError, TurnBody


def _none(_: str) -> None:
    """No text is a special token."""


def guided_calls(body: TurnBody, calls: ToolFormat, *, token_id: TokenId = _none) -> str:
    """The grammar of the whole answer, its form of output included; empty where no calls are guided. Raises `PromptRefused`."""
    try:
        return grammar_of_answer(body, calls, token_id=token_id)
    except CannotGuide as error:
        raise PromptRefused(
            TaskError("unsupported_output", f"This model cannot be held to what is asked of its tool calls: {error}.")
        ) from error
