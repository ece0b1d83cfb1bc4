"""What a request asks for: messages behind those before it, tools, texts to embed, a deadline. Refusals name the field."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET

from agents import context_settings
from agents.context_settings import ContextSetting
from agents.embedding import checked_texts, require_embedding, require_generating
from agents.faces import database
from agents.faces.as_response import AsResponse
from agents.faces.context import Context
from agents.faces.principals import AgentRef, Principal
from agents.faces.prompts import plain_prompt, preface
from agents.faces.requests import MessageIn, TaskRequest
from agents.problems import bad_field


class Past(NamedTuple):
    """A conversation, the messages of its branch, and the revision of the agent that its last task had.

    `ids` are those of the messages; a summary that stands for others has none (the empty one). `after` is the number of the
    message that what is said now follows; None at the start. `branches`: the request says so, and it is not simply the head.
    `question`: nothing is said, this message is answered anew.
    """

    conversation: uuid.UUID | None = None
    messages: Sequence[dict[str, Any]] = ()
    revision: uuid.UUID | None = None
    ids: Sequence[str] = ()
    after: int | None = None
    branches: bool = False
    question: int | None = None


def input_of(
    agent: AgentRef, request: TaskRequest, past: Past, response: AsResponse | None
) -> tuple[str | list[dict[str, Any]], list[dict[str, Any]]]:
    """All that the model is sent, and the messages among it that come with this request."""
    if request.prompt is not UNSET:
        return plain_prompt(request, request.prompt, system_prompt=agent.system_prompt), []
    said = [] if past.question else _said(request)
    before = preface(agent.system_prompt, response)
    continued = response.history if response else ()
    return [*([before] if before else []), *continued, *past.messages, *said], said


def texts_of(request: TaskRequest, agent: AgentRef) -> tuple[str, ...]:
    """The texts of a task that embeds; none for any other."""
    if request.embed is UNSET:
        if request.truncate is not UNSET:
            raise bad_field("truncate", "goes with `embed` only")
        require_generating(agent.engine, field="agent")
        return ()
    require_embedding(agent.engine, field="agent")
    prompt = None if request.prompt is UNSET else request.prompt
    others = {
        "prompt": prompt,
        "input": request.input,
        "messages": request.messages,
        "conversation": request.conversation,
    }
    if beside := next((name for name, value in others.items() if value is not None), None):
        raise bad_field(beside, "does not go with `embed`")
    if request.parameters:
        raise bad_field("parameters", "texts are embedded without any")
    if agent.tools or request.tools:
        raise bad_field("tools", "texts are embedded without any")
    if agent.system_prompt:
        raise bad_field("agent", f"{agent.slug!r} has a system prompt, which no embedding has; name one without it")
    return tuple(checked_texts(request.embed, field="embed"))


def _said(request: TaskRequest) -> list[dict[str, Any]]:
    """The input as messages."""
    if (request.input is None) == (request.messages is None):
        raise bad_field("input", "give either `input` (a string) or `messages`, or texts to `embed`")
    messages: Sequence[MessageIn] = request.messages or [MessageIn("user", request.input or "")]
    if not messages:
        raise bad_field("messages", "at least one message is needed")
    for index, message in enumerate(messages):
        if message.tool_calls and message.role != "assistant":
            raise bad_field(f"messages[{index}].tool_calls", "only an assistant's message has them")
        if bool(message.tool_call_id) != (message.role == "tool"):
            raise bad_field(
                f"messages[{index}].tool_call_id", "a tool's message, and no other, names the call that it answers"
            )
        if request.conversation and (message.tool_calls or message.role == "tool"):
            raise bad_field(
                f"messages[{index}]",
                "a conversation keeps no tool calls of its client's; send them as `messages` alone",
            )
    return [{"content": "", **msgspec.to_builtins(message)} for message in messages]


def setting_of(agent: AgentRef, request: TaskRequest) -> ContextSetting | None:
    """What becomes of messages that are too long, by the request over the agent; None where neither says anything."""
    if request.context is not UNSET and request.messages is None and request.input is None:
        raise bad_field("context", "goes with messages; neither a plain prompt nor texts to embed can lose any")
    if request.embed is not UNSET:
        return None
    asked = {} if request.context is UNSET else request.context
    if asked.get("strategy") == "summarise" and request.conversation is None:
        raise bad_field("context.strategy", "a summary is kept with a conversation; name one, or let it `trim`")
    return context_settings.setting_of(agent.context, asked)


async def past_of(context: Context, principal: Principal, request: TaskRequest, agent: AgentRef) -> Past:
    """What was said before in the tenant's conversation, on the branch that is meant; nothing where there is none."""
    if request.conversation is None:
        for name in ("after_message", "when_busy"):
            if getattr(request, name) is not UNSET:
                raise bad_field(name, "goes with `conversation` only")
        return Past()
    branches = request.after_message is not UNSET
    if branches and request.when_busy is not UNSET:
        raise bad_field("when_busy", "a task with `after_message` waits for no other; leave one of them out")
    after = request.after_message if isinstance(request.after_message, str) else None
    rows = await context.db.all(
        database.HISTORY,
        agent=agent.id,
        tenant=principal.tenant,
        conversation=_id(request.conversation, field="conversation", what="conversation"),
        after=None if after is None else _id(after, field="after_message", what="message in the conversation"),
        anew=branches and after is None,
    )
    if not rows:
        raise bad_field("conversation", "there is no such conversation")
    (row,) = rows
    if after is not None and row["found"] is None:
        raise bad_field("after_message", "there is no such message in the conversation")
    ids = [message.pop("id") for message in row["messages"]]
    past = Past(row["id"], row["messages"], row["revision"], ids, row["number"], branches)
    if after is None or request.input is not None or request.messages is not None:
        return past
    if row["role"] == "assistant":
        raise bad_field(
            "input", "that message is an answer: say something, or name the message whose answer you want anew"
        )
    return past._replace(after=row["parent"], question=row["number"])


def _id(name: str, *, field: str, what: str) -> uuid.UUID:
    try:
        return uuid.UUID(name)
    except ValueError:
        raise bad_field(field, f"there is no such {what}") from None


def split_key_of(request: TaskRequest, task: uuid.UUID) -> str:
    """What decides the revision where several serve. Two first tasks of a conversation at a time get the same one."""
    if request.split_key == "":
        raise bad_field("split_key", "must not be empty; leave it out")
    return request.split_key or request.conversation or str(task)


def deadline_of(request: TaskRequest) -> datetime | None:
    """The moment after which the task expires."""
    if request.deadline_s is not None and request.deadline_at is not None:
        raise bad_field("deadline_at", "give either `deadline_s` or `deadline_at`")
    if request.deadline_s is not None:
        if not 0 < request.deadline_s <= 366 * 86400:
            raise bad_field("deadline_s", "must be above 0 and at most a year")
        return datetime.now(UTC) + timedelta(seconds=request.deadline_s)
    if request.deadline_at is not None:
        if request.deadline_at.tzinfo is None:
            raise bad_field("deadline_at", "needs a time zone, such as 2026-01-01T12:00:00Z")
        if request.deadline_at.timestamp() <= time.time():
            raise bad_field("deadline_at", "has passed already")
    return request.deadline_at
