"""A turn's prompt made to fit the model: counted, trimmed where that was asked for, or refused. Pure but for the counting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from gpu_worker.engines.prompting import PromptRefused, affordable, prompt_ids, too_long
from gpu_worker.trimming import trimmed
from taskqueue.messages import ChatMessage, ContextRule, ContextUse, TaskError, TurnBody


class Fitted(NamedTuple):
    """A turn that fits. `body` has the messages that are sent; `max_tokens` is what the whole answer may have.

    `use` is what is told of it: None where nothing was asked about the context.
    """

    body: TurnBody
    prompt_tokens: int
    max_tokens: int
    use: ContextUse | None


class Prompt(NamedTuple):
    """A prompt that fits, in token ids; the rest as in `Fitted`."""

    ids: list[int]
    max_tokens: int
    use: ContextUse | None


def fitted(body: TurnBody, *, count: Callable[[TurnBody], int], context: int | None) -> Fitted:
    """The turn with the messages that fit. `context` is the most that the model holds; None: no limit. Raises `PromptRefused`.

    Trimming leaves room for the whole answer, but no more than half of the limit: a large `max_tokens` must not cost the memory.
    What cannot be made shorter may leave less room than that; only a prompt that leaves none is refused.
    """
    rule = body.context or ContextRule()
    limit = min((most for most in (context, rule.max_tokens) if most is not None), default=None)
    wanted = body.params.max_tokens
    if rule.strategy == "trim" and limit is not None and body.messages:

        def tokens(messages: tuple[ChatMessage, ...]) -> int:
            return count(msgspec.structs.replace(body, messages=messages))

        left = trimmed(body.messages, count=tokens, most=limit - min(wanted, limit // 2), keep_last=rule.keep_last)
        sent, prompt_tokens = msgspec.structs.replace(body, messages=left.messages), left.tokens
    else:
        sent, prompt_tokens = body, count(body)
    use = ContextUse(
        prompt_tokens=prompt_tokens,
        limit=limit,
        messages_sent=len(sent.messages),
        messages_dropped=len(body.messages) - len(sent.messages),
    )
    if limit is not None and prompt_tokens >= limit:
        raise PromptRefused(_refusal(rule, use, limit, context), use=use if body.context else None)
    room = affordable(body, prompt_length=prompt_tokens)
    if limit is not None:
        room = min(room, limit - prompt_tokens)
    return Fitted(sent, prompt_tokens, room, use if body.context else None)


def fitted_prompt(tokenizer: Any, body: TurnBody, *, context: int) -> Prompt:
    """As `fitted`, by the model's own tokenizer and chat template. Raises `PromptRefused`."""
    rendered: dict[int, list[int]] = {}

    def count(one: TurnBody) -> int:
        ids = rendered[len(one.messages)] = prompt_ids(tokenizer, one)
        return len(ids)

    found = fitted(body, count=count, context=context)
    return Prompt(rendered[len(found.body.messages)], found.max_tokens, found.use)


def _refusal(rule: ContextRule, use: ContextUse, limit: int, context: int | None) -> TaskError:
    lowered = limit != context
    if rule.strategy == "fail" or not use.messages_sent:
        if not lowered:
            return too_long(use.prompt_tokens, limit)
        return TaskError(
            "context_length_exceeded",
            f"The prompt has {use.prompt_tokens} tokens; `context.max_tokens` allows {limit}, the answer included.",
        )
    if lowered:
        holder, way = "`context.max_tokens` allows", "raise `context.max_tokens`"
    else:
        holder, way = "this model's context holds", "use a model that holds more"
    return TaskError(
        "context_too_long",
        f"With {use.messages_dropped} messages left out, the {use.messages_sent} that must stay (system messages, the last user "
        f"message, the last {rule.keep_last}) have {use.prompt_tokens} tokens; {holder} {limit}, the answer included. Shorten "
        f"them, keep fewer (`context.keep_last`), or {way}.",
    )
