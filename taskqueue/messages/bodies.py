"""What an engine needs to run a turn: messages, tools, sampling, and what bounds the answer."""

from __future__ import annotations

from typing import Any, Literal

import msgspec


class ToolCall(msgspec.Struct, frozen=True):
    """A function that the model wants called; `arguments` is the JSON text that it wrote, which may not be valid."""

    id: str
    name: str
    arguments: str


class ToolSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """A function that the model may call; `parameters` is a JSON schema of an object, empty for a function without any.

    `strict`: the arguments of each call fit it.
    """

    name: str
    description: str = ""
    parameters: dict[str, Any] = {}
    strict: bool = False

    @property
    def arguments_schema(self) -> dict[str, Any]:
        """What the arguments of a call must be an instance of: an object in any case."""
        if not self.parameters:
            return {"type": "object", "additionalProperties": False}
        return {"type": "object", **self.parameters}


class OutputForm(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an answer must look like, by guided decoding: `json_schema` (with `json_schema`), any JSON object, or `regex`."""

    kind: Literal["json_schema", "json_object", "regex"]
    json_schema: dict[str, Any] | None = None
    regex: str = ""


class ChatMessage(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message of the context, in the form of OpenAI's chat API.

    `tool_calls` stand in an assistant's message, `tool_call_id` in a tool's: the call whose result `content` is.
    """

    role: str
    content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""


class SamplingParams(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, forbid_unknown_fields=True):
    """How to sample one turn. Temperature 0 is greedy; `top_k` 0 means all; `stop` are strings, not part of the text.

    `logprobs` asks for the log probability of each token, and of so many of the likeliest in its place; None for none of it.
    """

    max_tokens: int = 256
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False
    logprobs: int | None = None


class Allowance(msgspec.Struct, frozen=True, kw_only=True):
    """What a turn may cost at most, and what its tokens cost: whole trillionths of the currency."""

    left: int
    prompt_token: int
    answer_token: int


class ContextRule(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What becomes of messages that are too long for the model: `fail` refuses them, `trim` leaves the oldest out.

    `max_tokens` bounds prompt and answer together, below what the model holds. `keep_last`: so many of the last messages stay.
    """

    strategy: Literal["fail", "trim"] = "fail"
    max_tokens: int | None = None
    keep_last: int = 1


class ContextUse(msgspec.Struct, frozen=True, kw_only=True):
    """What of a turn's messages was sent, counted by the model's own tokenizer and chat template.

    `limit` is what prompt and answer together may have; None where there is no limit. `prompt_tokens` are those of what was sent.
    """

    prompt_tokens: int
    limit: int | None
    messages_sent: int
    messages_dropped: int


class TurnBody(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What the engine needs to run a turn: chat messages (the model's own template is applied), a plain prompt, or texts to embed.

    `tool_choice` is `auto`, `none`, or `required`: the answer is one call at least, and its arguments fit. `allowed_tools` are the
    names of those that may be called, empty for all; without `parallel_tool_calls` the answer has one call at most.
    `tools_run_here`: the calls are Opsite's to make, so a turn that ends in calls does not end its task. `embed` are texts for an
    embedding engine; `truncate` lets it cut those that are longer than its model takes, where it would refuse them. With an
    `allowance` the answer has no more tokens than it buys behind the prompt.
    `context` is None where nothing was said of it: then messages that are too long are refused, and nothing is told of their count.
    `summarises`: the answer is not shown, but is to stand for so many messages in the turns behind this one; 0: it is shown, as any
    other. `trace` is its task's place in a trace (`telemetry.context`), which the worker's log names; empty: there is none.
    """

    messages: tuple[ChatMessage, ...] = ()
    prompt: str | None = None
    params: SamplingParams = SamplingParams()
    tools: tuple[ToolSpec, ...] = ()
    tool_choice: str = "auto"
    allowed_tools: tuple[str, ...] = ()
    parallel_tool_calls: bool = True
    tools_run_here: bool = False
    output: OutputForm | None = None
    embed: tuple[str, ...] = ()
    truncate: bool = False
    allowance: Allowance | None = None
    context: ContextRule | None = None
    summarises: int = 0
    trace: str = ""

    @property
    def must_call(self) -> bool:
        """Whether this answer is to be a call: where Opsite makes them, only until one has been made."""
        has_called = self.tools_run_here and bool(self.messages) and self.messages[-1].role == "tool"
        return self.tool_choice == "required" and not has_called

    @property
    def callable_tools(self) -> tuple[ToolSpec, ...]:
        """The tools that the answer may call."""
        if self.tool_choice == "none":
            return ()
        return tuple(tool for tool in self.tools if not self.allowed_tools or tool.name in self.allowed_tools)
