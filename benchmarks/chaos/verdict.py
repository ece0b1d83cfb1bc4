"""What became of one task, held against what was promised. Pure: what was seen and kept in, violations out.

A stream is right when its numbers follow each other without gap or repeat, its text is the undisturbed one, and it ends with one
outcome. A `restart` event is the one lawful break: Redis has lost its data, the reader forgets the text and begins anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import Literal, NamedTuple

OUTCOMES = frozenset({"succeeded", "failed", "cancelled", "expired"})
ViolationKind = Literal["lost", "doubled", "gap", "repeat", "text", "seam", "record", "refused", "failed"]


class Seen(NamedTuple):
    """One event as a client got it; `at` is the client's monotonic clock in seconds."""

    number: int
    kind: str
    text: str
    at: float


@dataclass(slots=True)
class Told:
    """One task as its client knows it. `ids` are all that the service answered to this idempotency key.

    `expected` is the undisturbed text where it must be said to the letter. `tokens` are the ids in its log, where they were read.
    `connected_at`: when each connection to its stream was tried, by the client's monotonic clock.
    """

    key: str
    pool: str
    expected: str | None = None
    ids: set[str] = field(default_factory=set)
    seen: list[Seen] = field(default_factory=list)
    outcome: str = ""
    refusal: str = ""
    accepted_at: float = 0.0
    connected_at: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)


class Kept(NamedTuple):
    """The same task as Postgres and Redis know it: rows of its idempotency key, and outcomes in its log (if that is there)."""

    rows: int
    state: str
    output: str
    outcomes_in_log: int


class Violation(NamedTuple):
    """A broken promise."""

    kind: ViolationKind
    key: str
    detail: str


class Stall(NamedTuple):
    """A pause within a stream: between two events of which the first was not the acceptance."""

    key: str
    begun_at: float
    ended_at: float

    @property
    def length_s(self) -> float:
        """How long nothing came."""
        return self.ended_at - self.begun_at


def judge(told: Told, kept: Kept) -> list[Violation]:
    """All that is wrong with an accepted task."""
    found: list[Violation] = []

    def complain(kind: ViolationKind, detail: str) -> None:
        found.append(Violation(kind, told.key, detail))

    if len(told.ids) > 1 or kept.rows > 1:
        complain("doubled", f"one idempotency key, {max(len(told.ids), kept.rows)} tasks")
    ends = sum(event.kind == "outcome" for event in told.seen)
    if ends > 1 or kept.outcomes_in_log > 1:
        complain("doubled", f"{ends} outcomes were streamed, {kept.outcomes_in_log} stand in the log")
    if kept.rows == 0:
        complain("lost", "it was accepted, and Postgres does not know it")
    elif kept.state not in OUTCOMES:
        complain("lost", f"it was accepted, and is {kept.state} at the end")
    elif not ends:
        complain("lost", f"its stream never ended; Postgres says {kept.state}")
    found += [Violation(kind, told.key, detail) for kind, detail in breaks(told.seen)]
    if ends and kept.rows:
        found += [Violation(kind, told.key, detail) for kind, detail in misspoken(told, kept)]
    return found


def breaks(seen: Sequence[Seen]) -> Iterable[tuple[ViolationKind, str]]:
    """Where a stream's numbers do not follow each other."""
    last = 0
    for event in seen:
        if event.number <= last:
            yield "repeat", f"event {event.number} came behind {last}"
        elif event.number != last + 1 and event.kind != "restart":
            yield "gap", f"event {event.number} came behind {last}"
        last = max(last, event.number)


def misspoken(told: Told, kept: Kept) -> Iterable[tuple[ViolationKind, str]]:
    """Where the streamed text is not the undisturbed one, or the record is not what was streamed."""
    streamed = text_of(told.seen)
    if told.outcome != kept.state:
        yield "record", f"the stream ended as {told.outcome}, Postgres says {kept.state}"
    if streamed != kept.output:
        yield "record", f"{len(streamed)} characters were streamed, {len(kept.output)} recorded, and they differ"
    if told.expected is None:
        return
    if kept.state == "succeeded" and streamed != told.expected:
        yield "text", f"streamed text leaves the undisturbed one at {_parting(streamed, told.expected)}"
    elif not told.expected.startswith(streamed):
        yield "text", f"a task that {kept.state} streamed other text, from {_parting(streamed, told.expected)}"


def text_of(seen: Iterable[Seen]) -> str:
    """What a reader has in the end: a restart makes it forget what came before."""
    pieces: list[str] = []
    for event in seen:
        if event.kind == "restart":
            pieces.clear()
        pieces.append(event.text)
    return "".join(pieces)


def taken_over(seen: Iterable[Seen]) -> bool:
    """Whether another attempt went on in the middle of the answer: it was queued again behind text that its reader still has."""
    begun = False
    for event in seen:
        if event.kind == "restart":
            begun = False
        elif event.kind == "state" and begun:
            return True
        begun = begun or event.kind == "text"
    return False


def stands_still(seen: Sequence[Seen], since: float) -> bool:
    """Whether a stream that has begun, and not ended, has had no event since `since`."""
    if not seen or seen[-1].kind == "outcome" or seen[-1].at >= since:
        return False
    return any(event.kind == "text" for event in seen)


def neighbours_late_s(stall: Stall, all_told: Iterable[Told]) -> float:
    """How late the machine was during a stall: the median of the longest pauses of all streams that no fault touched meanwhile.

    Touched is who was queued again, or restarted. 0 where nobody else ran.
    """
    longest = []
    for told in all_told:
        during = [event for event in told.seen if stall.begun_at <= event.at <= stall.ended_at]
        if len(during) > 1 and all(event.kind == "text" for event in during):
            longest.append(max(later.at - earlier.at for earlier, later in pairwise(during)))
    return median(longest) if longest else 0.0


def first_wait_s(told: Told) -> float:
    """From the answer 202 to the first text. That is no stall: nothing has begun yet."""
    return next((event.at - told.accepted_at for event in told.seen if event.kind == "text"), 0.0)


def stalls(told: Told, *, above_s: float) -> list[Stall]:
    """The pauses of a stream that are longer than `above_s`, from its first text to its end."""
    begun = next((index for index, event in enumerate(told.seen) if event.kind == "text"), len(told.seen))
    running = told.seen[begun:]
    return [
        Stall(told.key, earlier.at, later.at) for earlier, later in pairwise(running) if later.at - earlier.at > above_s
    ]


def counted(violations: Iterable[Violation]) -> Counter[str]:
    """Tasks with a violation of each kind (a task counts once per kind)."""
    return Counter(kind for kind, _ in {(violation.kind, violation.key) for violation in violations})


def _parting(streamed: str, expected: str) -> str:
    place = next((i for i, (a, b) in enumerate(zip(streamed, expected, strict=False)) if a != b), None)
    if place is None:
        place = min(len(streamed), len(expected))
    return (
        f"character {place} of {len(expected)}: {streamed[place : place + 20]!r}, not {expected[place : place + 20]!r}"
    )
