"""Schemas of what the hot routes take and give: made of the structs that decode it, so that they cannot drift apart."""

from __future__ import annotations

import msgspec

from agents.api.openapi.forms import Schema, object_of, ref
from agents.api.openapi.responses import RESPONSES
from agents.context_settings import ContextSetting
from agents.embedding import TEXTS_MAX
from agents.faces.idempotency import IDEMPOTENCY_KEY_MAX
from agents.faces.openai.choices import N_MAX
from agents.faces.openai.completion_request import MAX_TOKENS, PROMPTS_MAX, CompletionRequest
from agents.faces.openai.response_items import FunctionCall, FunctionCallOutput, ResponseItem
from agents.faces.openai.response_request import (
    METADATA_KEY_MAX,
    METADATA_MAX,
    METADATA_VALUE_MAX,
    ResponseRequest,
)
from agents.faces.openai.response_tools import FunctionTool
from agents.faces.requests import AnswerRequest, ChatRequest, EmbeddingRequest, TaskRequest
from agents.faces.socket import ANSWERS, ClientMessage
from agents.sampling import RANGES, STOPS_MAX
from taskqueue.messages import SamplingParams

_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}

# What the structs cannot say, because it is checked behind them.
_MODEL: Schema = {"description": "An agent or a pool, as `GET /v1/models` lists them; `agent@3` asks for a revision."}
_N: Schema = {
    "minimum": 1,
    "maximum": N_MAX,
    "description": "Choices, each a task of its own; all are accepted, or none. With a seed, choice i has the seed + i. One "
    "that fails fails the call.",
}
_LEAVING: Schema = {
    "description": "Whether the task is cancelled when the client leaves before its answer is complete. Left out: as the "
    "tenant has it. Not with an idempotency key."
}
_SAMPLED: dict[str, Schema] = {
    **{name: {"minimum": low, "maximum": high} for name, (low, high) in RANGES.items()},
    "stop": {
        "anyOf": [
            {"type": "string", "minLength": 1},
            {"type": "array", "items": {"type": "string", "minLength": 1}, "maxItems": STOPS_MAX},
        ]
    },
}

_TOOLS = "Functions that the client calls itself. With `strict` the arguments of each call fit `parameters`."
_CHOICE = "`required`, or a function: the answer is a call whose arguments fit. Refused where the engine cannot be made to call."
_PARALLEL = "False: one call at most."
_ITEM: Schema = {"anyOf": [ref("ResponseItem"), ref("FunctionCall"), ref("FunctionCallOutput")]}

_DETAILS: dict[str, dict[str, Schema]] = {
    "SamplingParams": {
        **{name: {"minimum": low, "maximum": high} for name, (low, high) in RANGES.items()},
        "stop": {"maxItems": STOPS_MAX, "items": {"type": "string", "minLength": 1}},
    },
    "TaskRequest": {
        "agent": {"description": "The agent's slug; `slug@3` asks for its third revision, published or not."},
        "input": {"description": "One user message. Give one of this, `messages`, `prompt` and `embed`."},
        "prompt": {
            "description": "A plain prompt, for which no chat template is applied; not for an agent with a system prompt."
        },
        "embed": {
            "minItems": 1,
            "maxItems": TEXTS_MAX,
            "description": "Texts for vectors, in place of `input`; for an agent on a pool that embeds. The output is a JSON list "
            "of as many strings: each vector's components in base64, single precision, little-endian.",
        },
        "truncate": {
            "description": "With `embed`: cut texts that are longer than the model takes. The finish reason is then `length`."
        },
        "conversation": {
            "format": "uuid",
            "description": "The messages of its branch come before the input; both sides are appended.",
        },
        "after_message": {
            "type": ["string", "null"],
            "format": "uuid",
            "description": "The message of the conversation that this goes on from, in place of its head; null: its start. Without "
            "`input` and `messages` that message, a user's, is answered anew. Such a task waits for no other.",
        },
        "when_busy": {
            "description": "What becomes of it while a task of the conversation's branch has not ended: it waits (`queue`), is "
            "refused with 409 (`refuse`), or has that task cancelled and goes on behind what it has said (`interrupt`) or from "
            "where it began (`roll_back`). Left out: as the conversation has it.",
        },
        "parameters": {"allOf": [ref("SamplingParams")], "description": "Over the agent's, which are over the pool's."},
        "context": {
            "allOf": [ref("ContextSetting")],
            "description": "Over the agent's. What was sent is told by the event `context` and by the task's `context`.",
        },
        "priority": {"minimum": 0, "maximum": 9, "description": "0 first, 9 last, among the tenant's own tasks."},
        "deadline_s": {
            "exclusiveMinimum": 0,
            "description": "Seconds from now after which the task expires. Refused (422) where no worker can begin it before.",
        },
        "deadline_at": {"format": "date-time", "description": "The same as a moment, with a time zone."},
        "tools": {"description": _TOOLS},
        "tool_choice": {"enum": ["auto", "none", "required"], "description": _CHOICE},
        "allowed_tools": {"minItems": 1, "description": "The names of the tools that may be called; left out: all."},
        "parallel_tool_calls": {"description": _PARALLEL},
        "metadata": {"description": "Kept with the task; the list of tasks can be filtered by it."},
        "idempotency_key": {
            "minLength": 1,
            "maxLength": IDEMPOTENCY_KEY_MAX,
            "description": "For 24 hours an equal request with the same key is answered with the same task, and costs nothing.",
        },
        "split_key": {
            "minLength": 1,
            "description": "Such as a user's id: where several revisions share the agent's traffic, tasks of one key get the same "
            "one. A conversation stays with its own, as long as that has a share.",
        },
        "cancel_on_disconnect": {
            "description": "By websocket: whether the task is cancelled when the connection that submitted and follows it is lost. "
            "Left out: as the tenant has it. Not with an idempotency key, and not by POST, where the answer comes otherwise."
        },
    },
    "EmbeddingRequest": {
        "model": {"description": "A pool that embeds, or an agent on one."},
        "input": {
            "anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": TEXTS_MAX},
            ],
            "description": "One text, or several. Token ids are refused.",
        },
        "dimensions": {"description": "Refused: a model's vectors have their own length."},
        "truncate": {"description": "Cut texts that are longer than the model takes; without it they are refused."},
    },
    "ClientMessage": {"type": {"enum": ["auth", *ANSWERS]}},
    "ChatRequest": {
        "model": _MODEL,
        "user": {"description": "As a task's `split_key`."},
        "n": _N,
        "cancel_on_disconnect": _LEAVING,
        "messages": {"minItems": 1},
        "tools": {"description": _TOOLS},
        "tool_choice": {"description": _CHOICE},
        "parallel_tool_calls": {"description": _PARALLEL},
        **_SAMPLED,
        "max_completion_tokens": _SAMPLED["max_tokens"],
    },
    "CompletionRequest": {
        "model": _MODEL,
        "n": _N,
        "cancel_on_disconnect": _LEAVING,
        **_SAMPLED,
        "prompt": {
            "anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": PROMPTS_MAX},
            ],
            "description": "Each text is a prompt of its own, with `n` choices. No chat template is applied; an agent with a "
            "system prompt takes messages only. Token arrays are refused.",
        },
        "max_tokens": {
            **_SAMPLED["max_tokens"],
            "description": f"Left out: as the agent or the pool has it, else {MAX_TOKENS}.",
        },
        "echo": {"description": "Whether the prompt stands before the text."},
    },
    "ResponseRequest": {
        "model": _MODEL,
        "cancel_on_disconnect": _LEAVING,
        "temperature": _SAMPLED["temperature"],
        "top_p": _SAMPLED["top_p"],
        "max_output_tokens": _SAMPLED["max_tokens"],
        "input": {"anyOf": [{"type": "string"}, {"type": "array", "items": _ITEM, "minItems": 1}]},
        "tools": {"items": ref("FunctionTool"), "description": _TOOLS},
        "tool_choice": {"description": _CHOICE},
        "parallel_tool_calls": {"description": _PARALLEL},
        "instructions": {
            "description": "Behind the agent's own. They are not carried over to what continues this response."
        },
        "previous_response_id": {
            "description": "The stored response, ended well, whose context and answer this one goes on from."
        },
        "conversation": {
            "description": "One of Opsite's conversations, by its id: its messages come before the input; both sides are appended."
        },
        "truncation": {
            "description": "`auto`: the oldest messages are left out where not all fit. Left out: as the agent has it."
        },
        "background": {
            "description": "Answer at once; the response is retrieved or followed by its id. Needs `store`."
        },
        "store": {
            "description": "False: it can be neither retrieved nor continued. The record of its task is kept all the same."
        },
        "metadata": {
            "maxProperties": METADATA_MAX,
            "propertyNames": {"minLength": 1, "maxLength": METADATA_KEY_MAX},
            "additionalProperties": {"type": "string", "maxLength": METADATA_VALUE_MAX},
        },
    },
}

_ANSWERS: dict[str, Schema] = {
    "Problem": {
        **object_of(
            ("type", "title", "status", "code", "detail"),
            type=_TEXT,
            title=_TEXT,
            status={"type": "integer"},
            code={"type": "string", "description": "Stable: programs may depend on it."},
            detail={"type": "string", "description": "What to do about it."},
            errors={"type": "array", "items": object_of(("field", "message"), field=_TEXT, message=_TEXT)},
            retry_after_s={**_COUNT, "description": "As the header Retry-After."},
            expected_wait_s={
                "type": ["object", "null"],
                "description": "With the code `deadline_too_early`: how long the task would wait, as in `QueuePlace`.",
            },
        ),
        "description": "Problem details (RFC 9457).",
    },
    "TaskInQueue": {
        "allOf": [ref("Task"), object_of(("queue",), queue={"anyOf": [ref("QueuePlace"), {"type": "null"}]})],
        "description": "A task, and its place in the queue while it waits (null: it does not, or the queue cannot be asked).",
    },
    "QueuePlace": object_of(
        ("position", "waiting", "expected_wait_s"),
        position={
            "type": "integer",
            "minimum": 1,
            "description": "Its place among the waiting tasks of its own tenant, or of its API key where that has a "
            "running limit; 1 is next. Between tenants goes fair share: all are served alike, by their weights.",
        },
        waiting={
            "type": "integer",
            "minimum": 1,
            "description": "Tasks that wait for this model, it included.",
        },
        expected_wait_s={
            "anyOf": [
                object_of(
                    ("low", "high"),
                    low={"type": "number", "minimum": 0},
                    high={"type": ["number", "null"], "minimum": 0},
                ),
                {"type": "null"},
            ],
            "description": "Seconds from now until a worker begins it; about nine in ten begin within the range. `high` is null "
            "where it is not known how long it is at most, all of it where nothing is known.",
        },
    ),
    "OpenAIError": {
        **object_of(
            ("error",),
            error=object_of(
                ("message", "type", "param", "code"),
                message=_TEXT,
                type=_TEXT,
                param={"type": ["string", "null"]},
                code=_TEXT,
            ),
        ),
        "description": "A refusal in OpenAI's form.",
    },
    "ModelList": object_of(
        ("object", "data"),
        object={"const": "list"},
        data={"type": "array", "items": ref("Model")},
    ),
    **RESPONSES,
    "Model": object_of(
        ("id", "object", "created", "owned_by"),
        id={**_TEXT, "description": "What `model` of a chat completion may say."},
        object={"const": "model"},
        created={**_COUNT, "description": "Seconds since 1970."},
        owned_by={"enum": ["opsite:agent", "opsite:pool"]},
    ),
    "ChatCompletion": object_of(
        ("id", "object", "created", "model", "choices", "usage"),
        id=_TEXT,
        object={"const": "chat.completion"},
        created=_COUNT,
        model=_TEXT,
        choices={
            "type": "array",
            "items": object_of(
                ("index", "message", "finish_reason"),
                index=_COUNT,
                message=object_of(
                    ("role", "content"),
                    role={"const": "assistant"},
                    content={"type": ["string", "null"]},
                    tool_calls={"type": "array", "items": ref("ChatToolCall")},
                ),
                finish_reason={"enum": ["stop", "length", "tool_calls"]},
            ),
        },
        usage=ref("CompletionUsage"),
    ),
    "Completion": object_of(
        ("id", "object", "created", "model", "choices", "usage"),
        id=_TEXT,
        object={"const": "text_completion"},
        created=_COUNT,
        model=_TEXT,
        choices={
            "type": "array",
            "items": object_of(
                ("index", "text", "finish_reason"),
                index={**_COUNT, "description": "Those of the first prompt come first."},
                text=_TEXT,
                finish_reason={"enum": ["stop", "length"]},
            ),
        },
        usage=ref("CompletionUsage"),
    ),
    "CompletionUsage": {
        **object_of(
            ("prompt_tokens", "completion_tokens", "total_tokens"),
            prompt_tokens=_COUNT,
            completion_tokens=_COUNT,
            total_tokens=_COUNT,
        ),
        "description": "Of all choices: each is a task of its own, and reads its prompt itself.",
    },
    "StreamEvent": {
        **object_of(("data",), event=_TEXT, data=_TEXT, id=_TEXT),
        "description": "A server-sent event; `data` is JSON text, or `[DONE]` at the end of OpenAI's older streams.",
    },
    "Health": object_of(("status",), status=_TEXT, postgres=_TEXT, redis=_TEXT),
    "EmbeddingList": object_of(
        ("object", "model", "data", "usage"),
        object={"const": "list"},
        model=_TEXT,
        data={
            "type": "array",
            "items": object_of(
                ("object", "index", "embedding"),
                object={"const": "embedding"},
                index=_COUNT,
                embedding={
                    "anyOf": [{"type": "array", "items": {"type": "number"}}, _TEXT],
                    "description": "With `encoding_format` `base64`: single precision, little-endian.",
                },
            ),
        },
        usage=object_of(("prompt_tokens", "total_tokens"), prompt_tokens=_COUNT, total_tokens=_COUNT),
    ),
}


def schemas() -> dict[str, Schema]:
    """All components, by name."""
    _, requests = msgspec.json.schema_components(
        [
            TaskRequest,
            ChatRequest,
            CompletionRequest,
            ResponseRequest,
            ResponseItem,
            FunctionCall,
            FunctionCallOutput,
            FunctionTool,
            EmbeddingRequest,
            AnswerRequest,
            SamplingParams,
            ContextSetting,
            ClientMessage,
        ],
        ref_template="#/components/schemas/{name}",
    )
    for name, schema in requests.items():
        schema["properties"] = {
            field: {**_required(asked), **_DETAILS.get(name, {}).get(field, {})}
            for field, asked in schema["properties"].items()
        }
    ways = [{"required": [way]} for way in ("input", "messages", "prompt")]
    requests["TaskRequest"]["oneOf"] = [*ways, {"required": ["after_message"], "not": {"anyOf": ways}}]
    return {**_ANSWERS, **requests}


def _required(schema: Schema) -> Schema:
    """Without `null`, which is how the structs say that a field was left out."""
    if "anyOf" not in schema:
        return schema
    kinds = [kind for kind in schema["anyOf"] if kind != {"type": "null"}]
    rest = {key: value for key, value in schema.items() if key != "anyOf" and value is not None}
    return {**kinds[0], **rest} if len(kinds) == 1 else {"anyOf": kinds, **rest}
