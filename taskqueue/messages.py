"""Every message that crosses a process wall through Redis, as a struct.

Times are Unix milliseconds of the Redis server's clock (`_ms`), durations seconds (`_s`). Bodies travel as MessagePack,
event data as ready JSON text, so that the web process splices it without decoding.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from taskqueue.outlook import Place

EventKind = Literal[
    "state", "attempt", "context", "text", "logprobs", "tool_calls", "tool_result", "summary", "outcome", "restart"
]
OutcomeState = Literal["succeeded", "failed", "cancelled", "expired"]
StopReason = Literal["cancelled", "expired", "lost"]
WorkerPhase = Literal["starting", "ready", "draining"]
StartPhase = Literal["interpreter", "import", "engine", "load", "compile", "first_token"]
"""In order: until the worker's own code ran, the engine's code, the weights, compilation and warm-up, a token. `engine` is what an
engine could not tell apart."""


INVALID_OUTPUT = "invalid_output"
"""The code of a task whose answer does not have the form that was asked for; the answer is kept with it."""


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


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """A turn to be enqueued.

    `priority` 0 (first) to 9 (last); `deadline_ms` 0 means none; `estimated_tokens` is the cost that fair share charges at claim;
    `inbox` names the web process that follows the task from its first event, or is empty; `key` is the id of the API key that
    submitted it, or empty. Of limits 0 means none: `max_waiting` and `max_running` are the tenant's in this pool,
    `key_max_waiting` and `key_max_running` the key's (the running ones hold from now on for all turns of their owner),
    `pool_max_waiting` is the whole pool's. `is_new`: its task was never accepted before, so it may also be refused for want of
    capacity or because its deadline comes too early.
    """

    turn: str
    task: str
    tenant: str
    body: TurnBody
    key: str = ""
    weight: float = 1.0
    priority: int = 5
    deadline_ms: int = 0
    estimated_tokens: int = 256
    max_waiting: int = 0
    pool_max_waiting: int = 0
    max_running: int = 0
    key_max_waiting: int = 0
    key_max_running: int = 0
    inbox: str = ""
    is_new: bool = False


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """A task that waits for another one of its conversation, and is not enqueued yet.

    `before` and `before_of_key`: how many of the tenant and of the API key wait so already; they count to `max_waiting` and
    `key_max_waiting` (0: none). `inbox` as in `Submission`.
    """

    task: str
    tenant: str
    key: str = ""
    before: int = 0
    before_of_key: int = 0
    max_waiting: int = 0
    key_max_waiting: int = 0
    inbox: str = ""


class Enqueued(msgspec.Struct, frozen=True):
    """The queue's answer: `accepted`, `known` (it is already there), `full` (the tenant's limit), `key_full` (the API key's),
    `busy` (the pool's bound), `no_capacity` (the pool can have no worker: `reason`) or `too_late` (it could not start before its
    deadline).

    `waiting` are the tenant's turns; `wait_ms` says after a refusal when a place may be free, going by how the line moved.
    `place` is where an accepted turn stands, or where one that is too late would stand.
    """

    verdict: Literal["accepted", "known", "full", "key_full", "busy", "no_capacity", "too_late"]
    waiting: int
    wait_ms: int = 0
    place: Place | None = None
    reason: str = ""


class ClaimedTurn(msgspec.Struct, frozen=True, kw_only=True):
    """A turn that a worker now holds. `seq` is the last event number used; the holder's first event is `seq + 1`.

    `streamed` holds the token ids that earlier attempts already streamed: the engine continues behind them. `first` is the number
    of the turn's first event: what lies before it in the log is of the task's earlier turns.
    """

    turn: str
    task: str
    tenant: str
    attempt: int
    seq: int
    enqueued_ms: int
    deadline_ms: int
    body: TurnBody
    streamed: tuple[int, ...] = ()
    first: int = 0


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A token with the natural logarithm of its probability. `bytes` are its own; `token` may be only part of a character."""

    token: str
    logprob: float
    bytes: tuple[int, ...]


class TokenLogprob(Candidate, frozen=True, kw_only=True):
    """A token of the answer, and the likeliest ones in its place, in OpenAI's form."""

    top_logprobs: tuple[Candidate, ...] = ()


class Delta(msgspec.Struct, frozen=True, kw_only=True):
    """New text of one turn in one engine step: `text` may be empty while `token_ids` wait for a complete character.

    `raw` is what the model wrote where that is not what is shown (the text of tool calls), None elsewhere. One with `logprobs` is
    an event of its own: it tells them of the tokens of the text that comes next. So is one with `context`, before all text.
    """

    turn: str
    attempt: int
    seq: int
    text: str
    token_ids: tuple[int, ...]
    raw: str | None = None
    logprobs: tuple[TokenLogprob, ...] = ()
    context: ContextUse | None = None


class Usage(msgspec.Struct, frozen=True):
    """Tokens of a turn; `completion_tokens` counts those of earlier attempts too.

    `cached_tokens`: those of the prompt that the engine had not to read anew (its prefix cache), where it tells of them.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0


class TaskError(msgspec.Struct, frozen=True):
    """Why a task failed: a stable code and a sentence for people."""

    code: str
    message: str


class Finish(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a turn, from its holder. `text` is the whole answer, earlier attempts included.

    `tool_calls` are what the model wants called. With `goes_on` they are Opsite's to call: the task waits for their results. A turn
    that `summarises` so many messages goes on whether it succeeded or failed. `has_logprobs`: the log has the answer's log
    probabilities. `first_token_ms`: when this attempt made its first token.
    """

    turn: str
    task: str
    attempt: int
    seq: int
    state: OutcomeState
    finish_reason: str | None = None
    usage: Usage = Usage()
    error: TaskError | None = None
    text: str | None = None
    first_token_ms: int = 0
    tool_calls: tuple[ToolCall, ...] = ()
    goes_on: bool = False
    has_logprobs: bool = False
    context: ContextUse | None = None
    summarises: int = 0


class Stop(msgspec.Struct, frozen=True):
    """A turn that its worker must stop. `lost`: another holds it now, or nobody; say nothing more about it."""

    turn: str
    reason: StopReason


class Work(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a worker's engine has done since its start. The sums only grow: the difference of two tells of the time between.

    `steps` gave tokens to sequences, and took `steps_s` seconds (idle time left out); `sequences` is the sum over the steps of
    those that got a token, `prefilled` the prompt tokens that were read for it. Of the `turns` that ended after they had begun,
    `prompt_tokens` and `answer_tokens` are the whole lengths, earlier attempts included.
    """

    steps: int = 0
    steps_s: float = 0.0
    sequences: int = 0
    prefilled: int = 0
    turns: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0


class WorkerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker says of itself at each heartbeat. `tokens_total` counts generated tokens since its start.

    `start_phases` are the seconds of its start's phases that have ended, `start_phase` is the one under way. What was not
    measured is absent.
    """

    worker: str
    phase: WorkerPhase
    engine: str
    model: str
    slots: int
    running: int = 0
    tokens_total: int = 0
    started_ms: int = 0
    ready_ms: int = 0
    beat_ms: int = 0
    work: Work = Work()
    start_phases: dict[StartPhase, float] = {}
    start_phase: StartPhase | None = None


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A change that the recorder brings to Postgres. `id` is the entry's id in the `record` stream.

    `kind` is `claimed`, `requeued`, `finished`, or `closed` (a task ended between two turns; `turn` is its last). `text` is absent
    where the queue itself ended the turn: then the log has it, from the event `after` on. With `goes_on` the task did not end. Of
    one that was `requeued` it is told when its attempt began (`claimed_ms`), when that made its first token (`first_token_ms`,
    0: it made none), how many `tokens` all attempts had streamed, and the `reason` for which it was given up: `worker_lost` or
    `handed_over`.
    `has_logprobs` as in `Finish`.
    """

    id: str
    at_ms: int
    kind: Literal["claimed", "requeued", "finished", "closed"]
    turn: str
    task: str
    attempt: int
    worker: str | None = None
    state: OutcomeState | None = None
    finish_reason: str | None = None
    usage: Usage = Usage()
    error: TaskError | None = None
    text: str | None = None
    first_token_ms: int = 0
    tool_calls: tuple[ToolCall, ...] = ()
    goes_on: bool = False
    after: int = 0
    has_logprobs: bool = False
    claimed_ms: int = 0
    tokens: int = 0
    reason: str = ""
    context: ContextUse | None = None


class Event(msgspec.Struct, frozen=True, array_like=True):
    """One event of a task as followers see it. `data` is JSON text (for `text`: a JSON string literal)."""

    task: str
    seq: int
    kind: EventKind
    data: str


class PoolSignals(msgspec.Struct, frozen=True, kw_only=True):
    """One read of a pool's demand and fleet. `oldest_wait_s` is 0 when nothing waits.

    Of the `waiting`, `held_back` are over the running limits of their tenants or API keys: no further worker could take them.
    `waiting_tokens` are the estimated tokens of all that wait, prompts and answers. `arrived` and `arrived_tokens` count the turns
    that ever came in, a turn that comes back not again; where Redis has lost its data they begin anew.
    `unrecorded` records are not in Postgres yet, the oldest since `oldest_record_s`. `foretold_ms`: for so long the orchestrator's
    last outlook still holds; 0 when it has said nothing for longer.
    """

    now_ms: int
    waiting: int
    held_back: int
    running: int
    oldest_wait_s: float
    waiting_tokens: int = 0
    arrived: int = 0
    arrived_tokens: int = 0
    unrecorded: int = 0
    oldest_record_s: float = 0.0
    foretold_ms: int = 0
    workers: tuple[WorkerStatus, ...] = ()
