"""The context that each turn's model was sent: messages by role, what was left out of them, tools, parameters. Pure.

An input holds what tenants said; nothing of it is a secret of theirs, which only the makers of tool calls ever open.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from console.tasks.folding import Folded, folded

FIRST, LAST = 10, 60
"""Of a long list of messages so many of the first and of the last are shown."""


class Call(msgspec.Struct, frozen=True):
    """A call in a message of the model's."""

    name: str
    arguments: Folded


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One message. `was_left_out`: there was no room for it any more. `answers`: the call that it is the result of."""

    role: str
    content: Folded
    calls: tuple[Call, ...] = ()
    answers: str = ""
    was_left_out: bool = False


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """What a turn was sent, beside what the turns before it were: `first` messages, and `last` behind `between` that are not shown.

    `use` says in words what of all messages was sent, empty where nobody counted; `note` what this turn was for, if not an answer.
    """

    turn: int
    first: tuple[Message, ...]
    last: tuple[Message, ...] = ()
    between: int = 0
    use: str = ""
    note: str = ""


class Tool(msgspec.Struct, frozen=True):
    """A function that the model was told of."""

    name: str
    description: str
    parameters: Folded


def sent_in(
    *,
    turn: int,
    messages: str | Sequence[Mapping[str, Any]],
    use: Mapping[str, Any] | None = None,
    summarises: Mapping[str, Any] | None = None,
) -> Sent:
    """One turn's. `messages` are those that came since the turn before, or a plain prompt; `use` and `summarises` as in its row."""
    if isinstance(messages, str):
        return Sent(turn=turn, first=(Message(role="prompt", content=folded(messages)),), use=_use(use))
    left_out = int((use or {}).get("messages_dropped") or 0) if turn == 1 else 0
    said: list[Message] = []
    for message in messages:
        is_out = left_out > 0 and message.get("role") not in ("system", "developer")
        left_out -= is_out
        said.append(_message(message, was_left_out=is_out))
    note = ""
    if summarises is not None:
        note = f"This turn sums up {summarises.get('count')} of these messages; the summary stands for them from the next turn on."
    between = max(0, len(said) - FIRST - LAST)
    return Sent(
        turn=turn,
        first=tuple(said if not between else said[:FIRST]),
        last=tuple(said[-LAST:] if between else ()),
        between=between,
        use=_use(use),
        note=note,
    )


def tools_of(options: Mapping[str, Any]) -> list[Tool]:
    """The tools that its turns were told of, as its options have them."""
    return [
        Tool(str(tool.get("name", "")), str(tool.get("description", "")), folded(_json(tool.get("parameters") or {})))
        for tool in options.get("tools") or ()
    ]


def asked_of(options: Mapping[str, Any]) -> dict[str, str]:
    """What else its turns took to a worker: how tools are to be called, what becomes of a context that is too long, and so on."""
    shown: dict[str, str] = {}
    for name in ("tool_choice", "allowed_tools", "parallel_tool_calls", "context", "truncate"):
        if name in options and options[name] not in (None, [], ()):
            value = options[name]
            shown[name] = value if isinstance(value, str) else _json(value)
    if options.get("embed"):
        shown["embed"] = f"{len(options['embed'])} texts"
    return shown


def pretty(text: str) -> str:
    """JSON text with its members on lines of their own; any other text as it is."""
    try:
        return _json(msgspec.json.decode(text))
    except (msgspec.DecodeError, UnicodeError):
        return text


def _message(message: Mapping[str, Any], *, was_left_out: bool) -> Message:
    return Message(
        role=str(message.get("role", "")),
        content=folded(str(message.get("content") or "")),
        calls=tuple(
            Call(str(call.get("name", "")), folded(pretty(str(call.get("arguments", "")))))
            for call in message.get("tool_calls") or ()
        ),
        answers=str(message.get("tool_call_id") or ""),
        was_left_out=was_left_out,
    )


def _use(use: Mapping[str, Any] | None) -> str:
    if not use:
        return ""
    kept, dropped = use.get("messages_sent", 0), use.get("messages_dropped", 0)
    room = f" of the {use['limit']:,} that there is room for" if use.get("limit") else ""
    trimmed = f"the {dropped} oldest were left out" if dropped else "none was left out"
    return f"{kept} messages were sent, {trimmed}: {use.get('prompt_tokens', 0):,} tokens{room}."


def _json(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
