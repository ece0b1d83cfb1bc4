"""The queue as it ought to behave, in memory: the yardstick of the stateful tests. No Redis, no clock, no Lua.

Time has two values here: what lies before `now` has passed, what lies behind it never comes (a lease has lapsed or it holds).
Where several turns may rightly come next, Redis chooses and the model checks the choice: the moves that can differ take the
turns in the order in which Redis moved them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from taskqueue import fair_share
from taskqueue.fair_share import Bill, Counters
from taskqueue.messages import Submission

Place = Literal["waiting", "running", "done", "acknowledged"]

SHARE = 4
"""Times the free places of a bounded pool: what one tenant may have waiting."""
TIE = 1e-6
"""Service counters that differ by less than this are equal: either tenant may come next."""


class NotAllowed(AssertionError):
    """Redis made a move that the protocol does not allow."""


class Entry(NamedTuple):
    """An event of a log: `state` with the state's name (and the attempt), `attempt` with its number and reason, `text`, or `outcome`
    with the state (and the error).
    """

    kind: str
    data: str


class Note(NamedTuple):
    """A record for Postgres, as far as the queue decides what it says."""

    kind: str
    turn: str
    attempt: int
    worker: str | None = None
    outcome: str | None = None


@dataclass
class Turn:
    """One accepted turn. `log` is all that its followers may ever have seen, so the last number used is its length."""

    submission: Submission
    arrival_ms: int
    place: Place = "waiting"
    worker: str | None = None
    attempt: int = 0
    failures: int = 0
    lapsed: bool = False
    lost_by: str = ""
    """Why it is back in line."""
    stop: str | None = None
    deadline_ms: int = 0
    watched: bool = False
    """Its deadline has yet to be enforced."""
    log: list[Entry] = field(default_factory=list)
    streamed: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
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
    def tenant(self) -> str:
        return self.submission.tenant

    @property
    def owners(self) -> tuple[str, ...]:
        """Whose limits it counts against: its tenant's, and its API key's if it has one."""
        return (self.tenant, *filter(None, (self.submission.key,)))


class QueueModel:
    """One pool's queue."""

    def __init__(self, *, now_ms: int) -> None:
        self.now_ms = now_ms
        self.turns: dict[str, Turn] = {}
        self.counters = Counters()
        self.max_running: dict[str, int] = {}
        self.rung = False
        self.records: list[Note] = []

    # -- what stands where ---------------------------------------------------------------------
    def at(self, *places: Place) -> list[Turn]:
        return [turn for turn in self.turns.values() if turn.place in places]

    def waiting(self, owner: str) -> list[Turn]:
        return [turn for turn in self.at("waiting") if owner in turn.owners]

    def running(self, owner: str) -> set[str]:
        return {turn.name for turn in self.at("running") if owner in turn.owners}

    def free(self) -> list[Turn]:
        """Waiting turns that neither their tenant's limit nor their key's holds back."""
        return [turn for turn in self.at("waiting") if all(self.may_run(owner) for owner in turn.owners)]

    def active(self) -> dict[str, float]:
        """Tenants with turns that may be claimed, and their service counters."""
        return {turn.tenant: self.counters.service[turn.tenant] for turn in self.free()}

    def may_run(self, owner: str) -> bool:
        return len(self.running(owner)) < self.max_running.get(owner, math.inf)

    def held_back(self) -> int:
        """Waiting turns that no worker could take now: the most that could is counted key by key, then tenant by tenant."""
        could = 0
        for tenant in {turn.tenant for turn in self.at("waiting")}:
            by_key = Counter(turn.submission.key for turn in self.waiting(tenant))
            could += min(self._room(tenant), sum(min(self._room(key), count) for key, count in by_key.items()))
        return len(self.at("waiting")) - int(could)

    def _room(self, owner: str) -> float:
        return max(0, self.max_running.get(owner, math.inf) - len(self.running(owner))) if owner else math.inf

    def held(self, worker: str) -> set[str]:
        return {turn.name for turn in self.at("running") if turn.worker == worker}

    def stops(self, worker: str) -> dict[str, str]:
        return {turn.name: turn.stop for turn in self.at("running") if turn.worker == worker and turn.stop}

    def next_in_line(self) -> set[str]:
        """The turns that may come next: the best of a tenant that was served least. More than one only where they tie."""
        names = set()
        lowest = self.counters.lowest()
        for tenant in (tenant for tenant, service in self.active().items() if service <= lowest + TIE):
            free = [turn for turn in self.free() if turn.tenant == tenant]
            best = min(turn.rank for turn in free)
            names |= {turn.name for turn in free if turn.rank == best}
        return names

    def holds(self, worker: str, name: str, attempt: int) -> Turn | None:
        """The turn, if this worker runs it and in this attempt."""
        turn = self.turns.get(name)
        good = turn is not None and (turn.place, turn.worker, turn.attempt) == ("running", worker, attempt)
        return turn if good else None

    def overdue(self) -> list[Turn]:
        """Turns that a reaper has to look at."""
        turns = self.at("waiting", "running")
        return [turn for turn in turns if turn.lapsed or (turn.watched and self._passed(turn.deadline_ms))]

    def _passed(self, deadline_ms: int) -> bool:
        return 0 < deadline_ms <= self.now_ms

    # -- moves ---------------------------------------------------------------------------------
    def verdict(self, submission: Submission) -> str:
        if (turn := self.turns.get(submission.turn)) and turn.place != "acknowledged":
            return "known"
        waiting = len(self.waiting(submission.tenant))
        if 0 < submission.max_waiting <= waiting:
            return "full"
        if 0 < submission.key_max_waiting <= (len(self.waiting(submission.key)) if submission.key else 0):
            return "key_full"
        free = submission.pool_max_waiting - len(self.at("waiting"))
        return "busy" if submission.pool_max_waiting and waiting >= SHARE * free else "accepted"

    def enqueue(self, submission: Submission, *, arrival_ms: int) -> None:
        """An accepted turn enters, and its tenant's and its key's running limits hold from now on."""
        self._limit(submission.tenant, submission.max_running)
        if submission.key:
            self._limit(submission.key, submission.key_max_running)
        turn = self.turns[submission.turn] = Turn(submission, arrival_ms)
        turn.log.append(Entry("state", "queued"))
        self._place(submission.tenant)
        self.rung = self.rung or submission.tenant in self.active()

    def claim(self, worker: str, slots: int, *, lapsed: bool, moved: Sequence[str]) -> list[Turn]:
        """`moved` left the line, in this order; returns those that the worker got (the others have expired)."""
        claimed: list[Turn] = []
        for name in moved:
            if len(claimed) == slots or name not in self.next_in_line():
                raise NotAllowed(
                    f"{name} left the line, next were {self.next_in_line()}, {len(claimed)}/{slots} claimed"
                )
            turn = self.turns[name]
            if self._passed(turn.deadline_ms):
                self._end_here(turn, "expired")
                continue
            self.counters, turn.bill = fair_share.charge(self.counters, turn.bill)
            turn.place, turn.worker, turn.attempt, turn.lapsed = "running", worker, turn.attempt + 1, lapsed
            self._place(turn.tenant)
            turn.log.append(Entry("state", f"running {turn.attempt}"))
            if turn.attempt > 1:
                turn.log.append(Entry("attempt", f"{turn.attempt} {turn.lost_by}"))
            self.records.append(Note("claimed", name, turn.attempt, worker))
            claimed.append(turn)
        if len(claimed) < slots:
            if self.active():
                raise NotAllowed(f"only {len(claimed)} of {slots} slots were filled, but {self.next_in_line()} wait")
            self.rung = False
        return claimed

    def emit(self, worker: str, name: str, attempt: int, seq: int, text: str, token_ids: Iterable[int]) -> bool:
        """Whether the worker may speak for the turn; a number that was used before adds nothing."""
        turn = self.holds(worker, name, attempt)
        if turn and seq == len(turn.log) + 1:
            turn.log.append(Entry("text", text))
            turn.streamed += token_ids
        return turn is not None

    def finish(self, worker: str, name: str, attempt: int, outcome: str, *, tokens: int) -> bool:
        """Whether the worker may end the turn. The estimate is corrected to the `tokens` that were served."""
        turn = self.holds(worker, name, attempt)
        if turn:
            self._correct(turn, tokens)
            self._end(turn, outcome, worker)
        return turn is not None

    def heartbeat(self, worker: str, names: Iterable[str], *, lapsed: bool) -> list[str]:
        """Extend leases (or have them lapse at once); returns the turns that are lost."""
        lost = []
        for name in names:
            if name in self.held(worker):
                self.turns[name].lapsed = lapsed
            else:
                lost.append(name)
        return lost

    def release(self, worker: str, names: Iterable[str]) -> int:
        released = 0
        for name in names:
            if name in self.held(worker):
                turn = self.turns[name]
                self._end_here(turn, turn.stop) if turn.stop else self._requeue(turn, "handed_over")
                released += 1
        return released

    def reap(self, *, max_attempts: int, moved: Sequence[str]) -> int:
        """Lapsed leases first, then deadlines. `moved` only orders what may come in any order."""
        first = {name: nth for nth, name in reversed(list(enumerate(moved)))}
        lapsed = [turn for turn in self.at("running") if turn.lapsed]
        for turn in sorted(lapsed, key=lambda turn: first.get(turn.name, -1)):
            turn.failures += 1
            if turn.stop:
                self._end_here(turn, turn.stop)
            elif turn.failures >= max_attempts:
                self._end_here(turn, "failed worker_lost")
            else:
                self._requeue(turn, "worker_lost")
        last = {name: nth for nth, name in enumerate(moved)}
        due = [turn for turn in self.at("waiting", "running") if turn.watched and self._passed(turn.deadline_ms)]
        for turn in sorted(due, key=lambda turn: (turn.deadline_ms, last.get(turn.name, -1))):
            turn.watched = False
            if turn.place == "waiting":
                self._end_here(turn, "expired")
            else:
                turn.stop = turn.stop or "expired"
        return len(lapsed) + len(due)

    def cancel(self, names: Iterable[str]) -> Iterator[str]:
        for name in names:
            turn = self.turns.get(name)
            if turn and turn.place == "waiting":
                self._end_here(turn, "cancelled")
                yield "ended"
            elif turn and turn.place == "running":
                turn.stop = turn.stop or "cancelled"
                yield "stopping"
            elif turn and turn.place == "done":
                yield "over"
            else:
                yield "unknown"

    def limit(self, running: dict[str, int]) -> int:
        """These running limits hold now, and no others; returns how many changed. Owners without turns here may be left out."""
        changed = 0
        for owner in sorted(running.keys() | self.max_running.keys()):
            here = owner in self.max_running or self.waiting(owner) or self.running(owner)
            most = running.get(owner, 0)
            if here and most != self.max_running.get(owner, 0):
                changed += 1
                self._limit(owner, most)
                for tenant in {turn.tenant for turn in self.waiting(owner)}:
                    self._place(tenant)
                    self.rung = self.rung or tenant in self.active()
        return changed

    def _limit(self, owner: str, most: int) -> None:
        self.max_running.pop(owner, None)
        if most:
            self.max_running[owner] = most

    def acknowledge(self, count: int) -> None:
        """The oldest records leave, and the turns that they end."""
        for note in self.records[:count]:
            if note.kind == "finished":
                self.turns[note.turn].place = "acknowledged"
        del self.records[:count]

    def age(self, name: str, deadline_ms: int) -> None:
        """Let time pass for one running turn: its deadline is now this one."""
        self.turns[name].deadline_ms = deadline_ms

    # -- their parts ---------------------------------------------------------------------------
    def _correct(self, turn: Turn, tokens: int) -> None:
        self.counters, turn.bill = fair_share.correct(self.counters, turn.bill, served=tokens)

    def _place(self, tenant: str) -> bool:
        """Whether the tenant came among the active. It is lifted then: time outside earns no credit."""
        came = tenant not in self.counters.waiting
        if any(turn.tenant == tenant for turn in self.free()):
            self.counters = fair_share.join(self.counters, tenant=tenant)
            return came
        self.counters = fair_share.leave(self.counters, tenant=tenant)
        return False

    def _requeue(self, turn: Turn, reason: str) -> None:
        """Back to its old place in its tenant's line; the tenant pays for what the log has."""
        self._correct(turn, len(turn.streamed))
        self.records.append(Note("requeued", turn.name, turn.attempt, turn.worker))
        turn.log.append(Entry("state", "queued"))
        turn.place, turn.worker, turn.lapsed, turn.lost_by = "waiting", None, False, reason
        self._place(turn.tenant)
        self.rung = self.rung or turn.tenant in self.active()

    def _end_here(self, turn: Turn, outcome: str) -> None:
        """An end that the queue decides; the tenant pays for what the log has."""
        if turn.attempt:
            self._correct(turn, len(turn.streamed))
        self._end(turn, outcome, turn.worker)

    def _end(self, turn: Turn, outcome: str, worker: str | None) -> None:
        turn.place, turn.worker, turn.stop, turn.watched, turn.lapsed = "done", None, None, False, False
        if self._place(turn.tenant):  # it was at its running limit
            self.rung = True
        turn.log.append(Entry("outcome", outcome))
        self.records.append(Note("finished", turn.name, turn.attempt, worker, outcome))

    # -- what the pool may keep in Redis --------------------------------------------------------
    def keys(self) -> set[str]:
        """All keys, without the pool's prefix, that belong to this state; logs outlive their turns for a while."""
        known = self.at("waiting", "running", "done")
        running = self.at("running")
        moved = any(turn.attempt or turn.place == "done" for turn in self.turns.values()) or self.at("acknowledged")
        names = {f"turn:{turn.name}" for turn in known}
        names |= {f"follow:{turn.submission.task}" for turn in known if turn.submission.inbox}
        names |= {f"log:{turn.submission.task}" for turn in self.turns.values()}
        names |= {f"wait:{owner}" for turn in self.at("waiting") for owner in turn.owners}
        names |= {f"running:{owner}" for turn in running for owner in turn.owners}
        names |= {f"held:{turn.worker}" for turn in running} | {f"stop:{turn.worker}" for turn in running if turn.stop}
        there = {
            "active": self.active(),
            "max_running": self.max_running,
            "arrivals": self.at("waiting"),
            "leases": running,
            "deadlines": any(turn.watched for turn in known),
            "service": self.counters.service,
            "left": self.counters.left,
            "bell": self.rung,
            "record": moved,
        }
        return names | {name for name, condition in there.items() if condition}
