"""What `POST /v1/responses` takes, and its messages, parameters and form of output as a task has them. Pure."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from agents.faces.requests import MessageIn, convert
from agents.problems import Problem, bad_field
from taskqueue.messages import OutputForm

METADATA_MAX = 16
METADATA_KEY_MAX = 64
METADATA_VALUE_MAX = 512
NAMES = {"max_tokens": "max_output_tokens"}
"""The request's names for what a task's parameters call otherwise."""


class ItemPart(msgspec.Struct, frozen=True):
    """A part of an item's content: `input_text`, or `output_text` of an earlier answer."""

    type: str
    text: str = ""


class ResponseItem(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A message of the input; an item of an earlier response's output may be given back as it came. `id` and `status` change
    nothing here.
    """

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[ItemPart]
    type: Literal["message"] = "message"
    id: str | None = None
    status: str | None = None


class TextFormat(msgspec.Struct, frozen=True):
    """OpenAI's `text.format`."""

    type: str = "text"


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
    output_form(wanted.text)


def _check_metadata(metadata: dict[str, str]) -> None:
    if len(metadata) > METADATA_MAX:
        raise bad_field("metadata", f"at most {METADATA_MAX} pairs")
    for name, value in metadata.items():
        if not 0 < len(name) <= METADATA_KEY_MAX:
            raise bad_field("metadata", f"a key has 1 to {METADATA_KEY_MAX} characters")
        if len(value) > METADATA_VALUE_MAX:
            raise bad_field(f"metadata.{name}", f"a value has at most {METADATA_VALUE_MAX} characters")


def output_form(text: TextOptions | None) -> OutputForm | None:
    """What the answer must look like, for `TurnBody.output`: None for plain text. The one place to serve further formats at."""
    kind = text.format.type if text is not None and text.format is not None else "text"
    if kind != "text":
        raise bad_field("text.format.type", f"{kind!r} is not supported here; only 'text'")
    return None


def messages(wanted: ResponseRequest) -> list[MessageIn]:
    """The input as messages; raises the `Problem` of an item that is none, or that is not served."""
    if isinstance(wanted.input, str):
        return [MessageIn("user", wanted.input)]
    if not wanted.input:
        raise bad_field("input", "at least one item is needed")
    return [_message(index, item) for index, item in enumerate(wanted.input)]


def _message(index: int, given: dict[str, Any]) -> MessageIn:
    place = f"input[{index}]"
    kind = given.get("type", "message")
    if kind != "message":
        raise bad_field(f"{place}.type", f"{kind!r} is not supported here; only 'message'")
    try:
        item = convert(given, ResponseItem)
    except Problem as problem:
        (error,) = problem.errors
        raise bad_field(place if error.field == "body" else f"{place}.{error.field}", error.message) from problem
    role = "system" if item.role == "developer" else item.role
    if isinstance(item.content, str):
        return MessageIn(role, item.content)
    for position, part in enumerate(item.content):
        if part.type not in {"input_text", "output_text"}:
            raise bad_field(f"{place}.content[{position}].type", f"{part.type!r} is not supported here; only text")
    return MessageIn(role, "".join(part.text for part in item.content))


def context(wanted: ResponseRequest) -> dict[str, Any] | UnsetType:
    """OpenAI's `truncation` as a task's `context`, over the agent's; left out: as the agent has it."""
    return UNSET if wanted.truncation is None else {"strategy": "trim" if wanted.truncation == "auto" else "fail"}


def parameters(wanted: ResponseRequest) -> dict[str, Any]:
    """As a task has them."""
    given = {"max_tokens": wanted.max_output_tokens, "temperature": wanted.temperature, "top_p": wanted.top_p}
    return {name: value for name, value in given.items() if value is not None}
