"""A turn and its task as the model of the queue knows them, and what is told of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from taskqueue import fair_share
from taskqueue.fair_share import Bill
from taskqueue.messages import Submission

Place = Literal["waiting", "running", "done", "kept", "acknowledged"]
"""`kept`: acknowledged, but its task went on behind it, so that it is known for a while."""


class Entry(NamedTuple):
    """An event of a log: `state` with the state's name (and the attempt), `attempt` with its number and reason, `text`,
    `tool_calls` with their ids, `tool_result` with the call's id, and `summary` or `outcome` with the state (and the error).
    """

    kind: str
    data: str


class Note(NamedTuple):
    """A record for Postgres, as far as the queue decides what it says."""

    kind: str
    turn: str
    task: str
    attempt: int
    worker: str | None = None
    outcome: str | None = None
    goes_on: bool = False


@dataclass
class Task:
    """A task whose stream has begun. `log` is all that its followers may ever have seen, so the last number used is its length."""

    name: str
    followed: bool
    log: list[Entry] = field(default_factory=list)
    forgotten: bool = False
    """Its end is acknowledged: its followers are gone, and its log goes."""

    @property
    def waits(self) -> bool:
        """It is between its turns, or before the first."""
        return self.log[-1] == Entry("state", "waiting") or self.log[-1].kind == "tool_result"


@dataclass
class Turn:
    """One accepted turn."""

    submission: Submission
    arrival_ms: int
    task: Task
    place: Place = "waiting"
    worker: str | None = None
    attempt: int = 0
    failures: int = 0
    losses: int = 0
    apart: Literal[0, 1, 2] = 0
    """A suspect: 1 runs together with others that are none, 2 runs alone."""
    lapsed: bool = False
    lost_by: str = ""
    """Why it is back in line."""
    stop: str | None = None
    deadline_ms: int = 0
    watched: bool = False
    """Its deadline has yet to be enforced."""
    streamed: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.first = len(self.log) + 1
        self.deadline_ms = self.submission.deadline_ms
        self.watched = self.deadline_ms > 0
        self.rank = fair_share.rank(
            priority=self.submission.priority, deadline_ms=self.deadline_ms, arrival_ms=self.arrival_ms
        )
        self.bill = Bill(self.tenant, self.submission.weight, self.submission.estimated_tokens)

    @property
    def name(self) -> str:
        return self.submission.turn

    @property
    def log(self) -> list[Entry]:
        return self.task.log

    @property
    def tenant(self) -> str:
        return self.submission.tenant

    @property
    def owners(self) -> tuple[str, ...]:
        """Whose limits it counts against: its tenant's, and its API key's if it has one."""
        return (self.tenant, *filter(None, (self.submission.key,)))
