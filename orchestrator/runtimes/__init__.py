"""The protocol between the control loop and whatever runs workers: processes, containers, later a cluster.

Calls return soon (but for `start`, which may pull an image and is called off the loop's thread). Workers are found
again by their ids, which every runtime keeps where a restart of the orchestrator does not lose them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

LOG_TAIL_LINES = 50
PEEK_BYTES = 64 * 1024


class RuntimeUnavailable(Exception):
    """The runtime itself does not work (no Docker engine, no GPU runtime): the message says what to do."""


class StartFailed(Exception):
    """This worker could not be started (image, interpreter, folder): the message says what to correct."""


class StartAbandoned(Exception):
    """Nobody waits for this start any more: its orchestrator ends, or another one leads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSpec:
    """Everything a runtime needs to start one worker. `env` holds only what the worker itself reads."""

    worker: str
    pool: str
    stack: str
    env: Mapping[str, str] = field(repr=False)  # it holds the worker's password
    python: str = ""
    image: str = ""
    gpus: tuple[str, ...] = ()
    mounts: tuple[str, ...] = ()
    redis_url: str = field(default="", repr=False)
    limits: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A worker as the runtime sees it. `exit_code` is None while it lives, or when nobody can tell any more."""

    ref: str
    worker: str
    pool: str
    alive: bool
    started_at: float
    exit_code: int | None = None
    gpus: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Peek:
    """A living worker as somebody watches it: the end of its output, as it is, and what it uses.

    `cpu_s` are seconds of CPU since its start, `memory_bytes` its resident memory, both with its children; None: not known.
    """

    log: str = ""
    pid: int | None = None
    cpu_s: float | None = None
    memory_bytes: int | None = None


class Runtime(Protocol):
    """Starts, lists and ends workers of one stack. All but `start` raise `RuntimeUnavailable` only."""

    def start(self, spec: WorkerSpec, progress: Callable[[str], None]) -> str:
        """Start a worker, return its ref; `progress` is told in words what takes long. May raise `StartFailed` too.

        `progress` raises `StartAbandoned` when the start is not to go on: it is told once more right before the worker runs,
        and then nothing may be left of it.
        """
        ...

    def list(self) -> Sequence[Instance]:
        """All workers of this stack, also those that ended and were not yet removed."""
        ...

    def stop(self, ref: str, grace_s: float) -> None:
        """Ask it to hand over and end (SIGTERM), and return at once; who waits for it is the caller."""
        ...

    def kill(self, ref: str) -> None:
        """End it now (SIGKILL). One that is gone already is no error."""
        ...

    def remove(self, ref: str) -> None:
        """Forget one that ended, with what it left behind."""
        ...

    def log_tail(self, ref: str) -> str:
        """Its last `LOG_TAIL_LINES` lines."""
        ...

    def peek(self, ref: str) -> Peek:
        """What somebody who watches it sees, at most `PEEK_BYTES` of log. It may take seconds: not for the loop's thread."""
        ...
