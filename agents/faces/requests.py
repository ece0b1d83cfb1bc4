"""What callers send to the hot routes, as structs; what does not fit is refused by the field's name."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from agents.bodies import NUL, not_json, refuse_nul
from agents.output_forms import OutputIn
from agents.problems import Problem, bad_field

S = TypeVar("S", bound=msgspec.Struct)

CURSOR_MAX = 2**53
"""Beyond every event's number, and exact in every client's numbers."""

_AT = re.compile(r" - at `(?:key in )?\$\.?([^`]*)`$")
_UNKNOWN = re.compile(r"Object contains unknown field `([^`]*)`")
_MISSING = re.compile(r"Object missing required field `([^`]*)`")


class ToolCallIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A call that an earlier answer asked for; `arguments` is JSON text."""

    id: str
    name: str
    arguments: str


class ToolIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A function that the client offers to call; `parameters` is a JSON schema of an object. `strict`: arguments always fit it."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    description: str = ""
    parameters: dict[str, Any] = {}
    strict: bool | UnsetType = UNSET


class MessageIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One message of the input. `tool_calls` stand in an assistant's, `tool_call_id` in a tool's: the call that it answers."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str = ""
    tool_calls: list[ToolCallIn] = []
    tool_call_id: str = ""


class TaskRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`POST /api/v1/tasks`, and the websocket's `submit`. One of `input`, `messages`, `prompt`, and `embed` (texts for vectors).

    `truncate` lets texts to embed be cut to what the model takes; without it one that is too long is refused. With `tool_choice`
    `required` the answer is a call; `allowed_tools` are the names of the tools that may be called.

    `after_message` names the message of the conversation that this goes on from (null: its start), in place of its head; without
    `input` and `messages` that message is answered anew. `when_busy` stands over the conversation's own rule.

    Fields that came later are `UNSET` where they were left out, so that the digest of what leaves them out stays as it was.
    """

    agent: str
    input: str | None = None
    messages: list[MessageIn] | None = None
    conversation: str | None = None
    parameters: dict[str, Any] = {}
    output: OutputIn | None = None
    tools: list[ToolIn] = []
    tool_choice: str = "auto"
    priority: int = 5
    deadline_s: float | None = None
    deadline_at: datetime | None = None
    metadata: dict[str, Any] = {}
    idempotency_key: str | None = None
    split_key: str | None = None
    cancel_on_disconnect: bool | UnsetType = UNSET
    prompt: str | UnsetType = UNSET
    embed: list[str] | UnsetType = UNSET
    truncate: bool | UnsetType = UNSET
    allowed_tools: list[str] | UnsetType = UNSET
    parallel_tool_calls: bool | UnsetType = UNSET
    context: dict[str, Any] | UnsetType = UNSET
    after_message: str | UnsetType | None = UNSET
    when_busy: Literal["queue", "refuse", "interrupt", "roll_back"] | UnsetType = UNSET


class AnswerRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a person says to the call `call` (the id in the event `tool_calls`)."""

    call: str
    answer: Annotated[str, msgspec.Meta(min_length=1, max_length=32_000)]


class ContentPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part of a message's content; only text is understood."""

    type: str
    text: str = ""


class ChatFunctionCall(msgspec.Struct, frozen=True):
    """The function of a call in OpenAI's form."""

    name: str
    arguments: str


class ChatToolCall(msgspec.Struct, frozen=True):
    """A call in OpenAI's form."""

    id: str
    function: ChatFunctionCall
    type: Literal["function"] = "function"


class ChatMessageIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A message in OpenAI's form. An answer's own empty members may come back with it: clients send what they were sent."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[ContentPart] | None = None
    tool_calls: list[ChatToolCall] | None = None
    tool_call_id: str | None = None
    refusal: None = None
    annotations: Annotated[list[Any], msgspec.Meta(max_length=0)] | None = None
    audio: None = None
    function_call: None = None


class ChatFunction(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A function in OpenAI's form; with `strict` the arguments of its calls fit its parameters."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class ChatTool(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tool in OpenAI's form."""

    function: ChatFunction
    type: Literal["function"] = "function"


class ChosenFunction(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The name of a function."""

    name: str


class ChatToolChoice(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="function"):
    """The one function to call, in OpenAI's form."""

    function: ChosenFunction


class ChatAllowed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Some of the functions, of which one may be called, or must be."""

    mode: Literal["auto", "required"]
    tools: list[ChatToolChoice]


class ChatAllowedTools(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="allowed_tools"):
    """OpenAI's `allowed_tools`."""

    allowed_tools: ChatAllowed


class StreamOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """OpenAI's `stream_options`."""

    include_usage: bool = False


class JsonSchemaIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """OpenAI's `json_schema` of a response format. Answers are held to the schema whether it is `strict` or not."""

    name: str
    schema: dict[str, Any]
    description: str | None = None
    strict: bool | None = None


class ResponseFormat(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """OpenAI's `response_format`."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchemaIn | None = None


class ChatRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`POST /v1/chat/completions`: what is served. Any other field of OpenAI's API is refused by its name.

    `top_k` and `ignore_eos` are vLLM's extensions, `cancel_on_disconnect` is Opsite's. `user` is the task's
    `split_key`. `metadata`, `store` and `service_tier` change nothing here.
    """

    model: str
    messages: list[ChatMessageIn]
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    ignore_eos: bool | None = None
    response_format: ResponseFormat | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    cancel_on_disconnect: bool | UnsetType = UNSET
    tools: list[ChatTool] | None = None
    tool_choice: Literal["auto", "none", "required"] | ChatToolChoice | ChatAllowedTools | None = None
    parallel_tool_calls: bool | None = None
    n: int | None = None
    user: str | None = None
    metadata: dict[str, Any] | None = None
    store: bool | None = None
    service_tier: str | None = None


class EmbeddingRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`POST /v1/embeddings`: what is served. Any other field of OpenAI's API is refused by its name.

    `truncate` and `cancel_on_disconnect` are Opsite's. `user` changes nothing here. `dimensions` and token ids have a place here
    only so that their refusal says why.
    """

    model: str
    input: str | list[str | int | list[int]]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None
    truncate: bool = False
    cancel_on_disconnect: bool | UnsetType = UNSET
    user: str | None = None


def decode(body: bytes, form: type[S]) -> S:
    """The body as `form`, or a problem that names the field."""
    try:
        decoded = msgspec.json.decode(body, type=form)
    except msgspec.ValidationError as error:
        raise _named(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise not_json(error) from error
    if NUL in body:
        refuse_nul(msgspec.json.decode(body))
    return decoded


def convert(value: Any, form: type[S]) -> S:
    """As `decode`, for a value that was decoded before."""
    try:
        return msgspec.convert(value, form)
    except msgspec.ValidationError as error:
        raise _named(str(error)) from error


def cursor_in_range(value: int, *, field: str) -> int:
    """A place in a task's stream, or a problem that names the field it came by."""
    if not 0 <= value <= CURSOR_MAX:
        raise bad_field(field, "is the number of the last event that was seen, 0 for none")
    return value


def _named(message: str) -> Problem:
    place = _AT.search(message)
    path = place.group(1) if place else ""
    text = message[: place.start()] if place else message
    for pattern, said in ((_UNKNOWN, "is not supported here"), (_MISSING, "is required")):
        if found := pattern.search(text):
            name = found.group(1)
            return bad_field(f"{path}.{name}" if path else name, said)
    return bad_field(path or "body", text)
