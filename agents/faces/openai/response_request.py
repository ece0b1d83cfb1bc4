"""What `POST /v1/responses` takes, and its messages, parameters and form of output as a task has them. Pure."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from agents.faces.openai import response_tools
from agents.faces.openai.response_format import check_name
from agents.faces.openai.response_items import messages_of
from agents.faces.openai.tool_choices import ToolChoice, plain
from agents.faces.requests import MessageIn
from agents.output_forms import OutputIn
from agents.problems import bad_field

METADATA_MAX = 16
METADATA_KEY_MAX = 64
METADATA_VALUE_MAX = 512
NAMES = {"max_tokens": "max_output_tokens"}
"""The request's names for what a task's parameters call otherwise."""
_LATER = frozenset({"tools", "tool_choice", "parallel_tool_calls"})
_NOT_KEPT = "a conversation keeps no calls that its client makes"


class TextFormat(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """OpenAI's `text.format`. Answers are held to the schema whether it is `strict` or not."""

    type: Literal["text", "json_object", "json_schema"] = "text"
    name: str | None = None
    schema: dict[str, Any] | None = None
    description: str | None = None
    strict: bool | None = None


class TextOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """OpenAI's `text`."""

    format: TextFormat | None = None


class ResponseStreamOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """OpenAI's `stream_options`; chunks are never padded."""

    include_obfuscation: Literal[False] | None = None


class ConversationName(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """OpenAI's `conversation` as an object."""

    id: str


class ResponseRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`POST /v1/responses`: what is served. Any other field of OpenAI's API is refused by its name.

    `cancel_on_disconnect` is Opsite's. `user` is the task's `split_key`. `safety_identifier`, `prompt_cache_key` and
    `service_tier` change nothing here.
    """

    model: str
    input: str | list[dict[str, Any]]
    instructions: str | None = None
    previous_response_id: str | None = None
    conversation: str | ConversationName | None = None
    background: bool | None = None
    store: bool | None = None
    stream: bool | None = None
    stream_options: ResponseStreamOptions | None = None
    metadata: dict[str, str] | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    text: TextOptions | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    truncation: Literal["auto", "disabled"] | None = None
    cancel_on_disconnect: bool | UnsetType = UNSET
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    service_tier: str | None = None


def check(wanted: ResponseRequest) -> None:
    """Raises the `Problem` of what does not go together."""
    if wanted.background and wanted.store is False:
        raise bad_field("store", "what runs in the background must be stored, or nobody could read it")
    if wanted.background and wanted.cancel_on_disconnect is True:
        raise bad_field("cancel_on_disconnect", "what runs in the background goes on without its client")
    if wanted.previous_response_id is not None and wanted.conversation is not None:
        raise bad_field("conversation", "give either this or `previous_response_id`")
    if wanted.stream_options is not None and not wanted.stream:
        raise bad_field("stream_options", "is for streams only; give `stream: true`")
    _check_metadata(wanted.metadata or {})
    output(wanted.text)
    response_tools.functions(wanted.tools)


def _check_metadata(metadata: dict[str, str]) -> None:
    if len(metadata) > METADATA_MAX:
        raise bad_field("metadata", f"at most {METADATA_MAX} pairs")
    for name, value in metadata.items():
        if not 0 < len(name) <= METADATA_KEY_MAX:
            raise bad_field("metadata", f"a key has 1 to {METADATA_KEY_MAX} characters")
        if len(value) > METADATA_VALUE_MAX:
            raise bad_field(f"metadata.{name}", f"a value has at most {METADATA_VALUE_MAX} characters")


def output(text: TextOptions | None) -> OutputIn | None:
    """What the answer must look like; None for what the agent says. Whether answers can be held to it is checked with the task."""
    if text is None or text.format is None:
        return None
    given, is_schema = text.format, text.format.type == "json_schema"
    for name in ("name", "schema"):
        if (getattr(given, name) is not None) != is_schema:
            raise bad_field(f"text.format.{name}", f"belongs to the type 'json_schema', and this is {given.type!r}")
    if given.name is not None:
        check_name(given.name, field="text.format.name")
    return OutputIn(given.type, given.schema)


def messages(wanted: ResponseRequest) -> list[MessageIn]:
    """The input as messages; raises the `Problem` of an item that is none, or that is not served."""
    said = messages_of(wanted.input)
    if wanted.conversation is not None:
        if wanted.tools:
            raise bad_field("tools", f"{_NOT_KEPT}; use `previous_response_id`")
        if any(one.tool_calls or one.role == "tool" for one in said):
            raise bad_field("input", f"{_NOT_KEPT}; use `previous_response_id`")
    return said


def words(wanted: ResponseRequest) -> dict[str, Any]:
    """The request for its digest: fields that came later count where they say something, so that of others it stays as it was."""
    plainly: dict[str, Any] = msgspec.to_builtins(wanted)
    return {name: value for name, value in plainly.items() if value is not None or name not in _LATER}


def told(wanted: ResponseRequest) -> dict[str, Any]:
    """What is told of the request with its response, beside what the task keeps; what was left out is left out."""
    given = {
        "max_output_tokens": wanted.max_output_tokens,
        "text": None if wanted.text is None else {"format": _format(wanted.text.format or TextFormat())},
        "tools": response_tools.told(response_tools.functions(wanted.tools)) or None,
        "tool_choice": None if wanted.tool_choice is None else plain(wanted.tool_choice),
        "parallel_tool_calls": wanted.parallel_tool_calls,
    }
    return {name: value for name, value in given.items() if value is not None}


def _format(given: TextFormat) -> dict[str, Any]:
    if given.type != "json_schema":
        return {"type": given.type}
    said = {"name": given.name, "schema": given.schema, "description": given.description, "strict": given.strict}
    return {"type": given.type, **said}


def context(wanted: ResponseRequest) -> dict[str, Any] | UnsetType:
    """OpenAI's `truncation` as a task's `context`, over the agent's; left out: as the agent has it."""
    return UNSET if wanted.truncation is None else {"strategy": "trim" if wanted.truncation == "auto" else "fail"}


def parameters(wanted: ResponseRequest) -> dict[str, Any]:
    """As a task has them."""
    given = {"max_tokens": wanted.max_output_tokens, "temperature": wanted.temperature, "top_p": wanted.top_p}
    return {name: value for name, value in given.items() if value is not None}
