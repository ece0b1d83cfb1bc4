"""From a turn's body to prompt ids with the model's own tokenizer and chat template, or the reason why not."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from itertools import takewhile
from typing import Any

from gpu_worker.detokenize import Decode
from taskqueue.messages import ChatMessage, ContextUse, TaskError, ToolCall, ToolSpec, TurnBody

NOT_EMBEDDING = TaskError(
    "wrong_kind_of_model", "This model generates text and embeds none; embed with a pool of the engine `embedding`."
)


class PromptRefused(Exception):
    """This turn cannot run on this model; `error` says why to whoever sent it, `use` what was counted, if it asked for that."""

    def __init__(self, error: TaskError, *, use: ContextUse | None = None) -> None:
        super().__init__(error.message)
        self.error, self.use = error, use


def prompt_ids(tokenizer: Any, body: TurnBody) -> list[int]:
    """The prompt of a turn in token ids. Raises `PromptRefused`."""
    if body.embed:
        raise PromptRefused(NOT_EMBEDDING)
    if body.prompt is not None:
        ids = tokenizer.encode(body.prompt)
    elif not getattr(tokenizer, "chat_template", None):
        raise PromptRefused(
            TaskError(
                "chat_template_missing", "This model has no chat template; send a plain prompt instead of messages."
            )
        )
    else:
        tools = [_spec(tool) for tool in body.tools] if body.tool_choice != "none" else []
        text = _rendered(tokenizer, body.messages, tools)
        ids = tokenizer.encode(text, add_special_tokens=False)
    if not ids:
        raise PromptRefused(TaskError("empty_prompt", "The prompt is empty: this model has nothing to go on from."))
    return [int(token_id) for token_id in ids]


def _rendered(tokenizer: Any, messages: Sequence[ChatMessage], tools: list[dict[str, Any]]) -> str:
    """The prompt as text. Some templates take one system message only: for them those at the start become one."""

    def rendered(given: Sequence[ChatMessage]) -> str:
        plain = [_message(message) for message in given]
        return str(
            tokenizer.apply_chat_template(plain, tools=tools or None, add_generation_prompt=True, tokenize=False)
        )

    try:
        return rendered(messages)
    except Exception as error:
        if (joined := _joined(messages)) is not None:
            with suppress(Exception):
                return rendered(joined)
        raise PromptRefused(
            TaskError("chat_template_error", f"The model's chat template refuses these messages: {error}")
        ) from error


def _joined(messages: Sequence[ChatMessage]) -> list[ChatMessage] | None:
    """With one system message at the start, if there are several; else None."""
    first = list(takewhile(lambda message: message.role == "system", messages))
    if len(first) < 2:
        return None
    return [ChatMessage("system", "\n\n".join(message.content for message in first)), *messages[len(first) :]]


def _message(message: ChatMessage) -> dict[str, Any]:
    """A message as chat templates read it: arguments of calls are objects there."""
    plain: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        plain["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": _arguments(call)}}
            for call in message.tool_calls
        ]
    if message.tool_call_id:
        plain["tool_call_id"] = message.tool_call_id
    return plain


def _arguments(call: ToolCall) -> Any:
    try:
        return json.loads(call.arguments)
    except ValueError:
        return call.arguments


def _spec(tool: ToolSpec) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}


def affordable(body: TurnBody, *, prompt_length: int) -> int:
    """How many tokens the whole answer may have: as asked for, or what the turn's allowance buys behind its prompt.

    Raises `PromptRefused` where it buys none.
    """
    wanted, allowance = body.params.max_tokens, body.allowance
    if allowance is None:
        return wanted
    left = allowance.left - prompt_length * allowance.prompt_token
    if left < allowance.answer_token:
        raise PromptRefused(
            TaskError(
                "cost_limit",
                f"The next model call reads {prompt_length} tokens: that and a first token of its answer would cost more than "
                "the agent's limit leaves.",
            )
        )
    return min(wanted, left // allowance.answer_token) if allowance.answer_token else wanted


def too_long(prompt_length: int, context: int) -> TaskError:
    """Why a prompt was refused."""
    return TaskError(
        "context_length_exceeded",
        f"The prompt has {prompt_length} tokens; this model's context holds {context}, the answer included.",
    )


def decoder(tokenizer: Any, *, shown: Collection[str] = ()) -> Decode:
    """Ids to text without special tokens but those `shown`; the fast tokenizer's own decoder where there is one."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    added = getattr(tokenizer, "added_tokens_decoder", {})
    special = {token_id: token.content for token_id, token in added.items() if token.special} if shown else {}
    if backend is not None and not set(special.values()).isdisjoint(shown):
        hidden = frozenset(token_id for token_id, text in special.items() if text not in shown)
        whole: Callable[..., str] = backend.decode
        return lambda ids: whole([one for one in ids if one not in hidden], skip_special_tokens=False)
    if backend is not None:
        fast: Callable[..., str] = backend.decode
        return lambda ids: fast(list(ids), skip_special_tokens=True)
    return lambda ids: str(tokenizer.decode(list(ids), skip_special_tokens=True))


def end_ids(*configured: int | Sequence[int] | None) -> frozenset[int]:
    """The ids that end an answer, from wherever the model's files name them."""
    ids: set[int] = set()
    for value in configured:
        if isinstance(value, int):
            ids.add(value)
        elif value is not None:
            ids.update(value)
    return frozenset(ids)
