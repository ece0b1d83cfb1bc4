"""What workers say of themselves, and what a pool's queue says of its demand."""

from __future__ import annotations

from typing import Literal

import msgspec

WorkerPhase = Literal["starting", "ready", "draining"]
StartPhase = Literal["interpreter", "import", "engine", "load", "compile", "first_token"]
"""In order: until the worker's own code ran, the engine's code, the weights, compilation and warm-up, a token. `engine` is what an
engine could not tell apart."""


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
