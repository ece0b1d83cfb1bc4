"""What the worker's loop and an engine say to each other: small values, and one protocol that every engine keeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from gpu_worker.tool_formats.form import ToolFormat
from taskqueue.messages import ContextUse, StartPhase, TaskError, TokenLogprob, TurnBody

Ending = Literal["stop", "length", "aborted", "failed"]
"""How the engine ended a request: `stop` and `length` are OpenAI's finish reasons; `failed` comes with an error."""


class EngineRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A turn for the engine. `id` is unique per attempt. The answer goes on behind the token ids in `streamed`."""

    id: str
    turn: str
    tenant: str
    body: TurnBody
    streamed: tuple[int, ...] = ()


class EngineOutput(msgspec.Struct, frozen=True, kw_only=True):
    """What one engine step made for one request: new token ids, and the text that they complete.

    `logprobs` are those of the ids, where they were asked for; an id that ends the answer has none. `prompt_tokens` is the length
    of the original prompt, set from the first output on; `cached_tokens` are those of it that the engine had in its prefix cache,
    where it says so. `context` comes once, with or before the first token, where the turn asked about it. After an output with
    `ending` no other follows.
    """

    id: str
    token_ids: tuple[int, ...] = ()
    text: str = ""
    logprobs: tuple[TokenLogprob, ...] = ()
    prompt_tokens: int = 0
    cached_tokens: int = 0
    context: ContextUse | None = None
    ending: Ending | None = None
    error: TaskError | None = None


class Phases(Protocol):
    """Whom an engine tells how far its start is (`gpu_worker.phases.StartPhases`)."""

    def enter(self, phase: StartPhase, *, was: StartPhase | None = None, after: StartPhase | None = None) -> None:
        """This phase begins."""
        ...


class Engine(Protocol):
    """A continuously batched engine: requests join and leave between two steps."""

    @property
    def tool_format(self) -> ToolFormat:
        """How its model writes tool calls; known once it has started."""
        ...

    async def start(self, phases: Phases | None = None) -> None:
        """Load the model and warm up, saying which phase begins; raises `EngineCannotStart`."""
        ...

    def submit(self, requests: Sequence[EngineRequest]) -> None:
        """Let requests join at the next step. A request that cannot run ends as `failed`."""
        ...

    def abort(self, ids: Sequence[str]) -> None:
        """Stop requests; each that had not ended yet ends as `aborted` once the engine has let it go."""
        ...

    async def collect(self) -> list[EngineOutput]:
        """Wait for output, then return all of it since the last call, in order; raises `EngineDied`."""
        ...

    async def close(self) -> None:
        """Free what the engine holds."""
        ...
