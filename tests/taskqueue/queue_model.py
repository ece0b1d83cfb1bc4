"""The queue as it ought to behave, in memory: the yardstick of the stateful tests. No Redis, no clock, no Lua.

Time has two values here: what lies before `now` has passed, what lies behind it never comes (a lease has lapsed or it holds).
Where several turns may rightly come next, Redis chooses and the model checks the choice: the moves that can differ take the
turns in the order in which Redis moved them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from taskqueue import fair_share
from taskqueue.fair_share import Counters
from taskqueue.messages import Submission
from tests.taskqueue.queue_tasks import Tasks
from tests.taskqueue.queue_turn import Entry, Note, Place, Task, Turn

SHARE = 4
"""Times the free places of a bounded pool: what one tenant may have waiting."""
TIE = 1e-6
"""Service counters that differ by less than this are equal: either tenant may come next."""


class NotAllowed(AssertionError):
    """Redis made a move that the protocol does not allow."""


class QueueModel(Tasks):
    """One pool's queue."""

    def __init__(self, *, now_ms: int) -> None:
        self.now_ms = now_ms
        super().__init__()
        self.turns: dict[str, Turn] = {}
        self.counters = Counters()
        self.max_running: dict[str, int] = {}
        self.rung = False
        self.looked = False
        self.clearing: set[str] = set()
        """Workers that take nothing until they hold nothing, to run a suspect alone."""
        self.killed: set[str] = set()
        """Workers that staff has had killed: what they lose is nobody's fault."""
        self.arrived = self.arrived_tokens = 0
        self.paced = False
        """A turn has ended that held a slot: the queue knows for how long."""

    # -- what stands where ---------------------------------------------------------------------
    def at(self, *places: Place) -> list[Turn]:
        return [turn for turn in self.turns.values() if turn.place in places]

    def waiting(self, owner: str) -> list[Turn]:
        """The line of a tenant, or of an API key; suspects wait beside it."""
        return [turn for turn in self.at("waiting") if owner in turn.owners and not turn.apart]

    def suspects(self, *owners: str) -> list[Turn]:
        return [turn for turn in self.at("waiting") if turn.apart and (not owners or set(owners) & set(turn.owners))]

    def length(self, owner: str) -> int:
        """What waits of a tenant, or of an API key: what its limit counts."""
        return len(self.waiting(owner)) + len(self.suspects(owner))

    def wards(self) -> dict[str, str]:
        """What workers are to suspects."""
        held = {turn.worker: "together" if turn.apart == 1 else "alone" for turn in self.at("running") if turn.apart}
        return {**dict.fromkeys(self.clearing, "clearing"), **held}

    def running(self, owner: str) -> set[str]:
        return {turn.name for turn in self.at("running") if owner in turn.owners}

    def free(self) -> list[Turn]:
        """Waiting turns that neither their tenant's limit nor their key's holds back."""
        return [turn for turn in self.at("waiting") if not turn.apart and all(map(self.may_run, turn.owners))]

    def active(self) -> dict[str, float]:
        """Tenants with turns that may be claimed, and their service counters."""
        return {turn.tenant: self.counters.service[turn.tenant] for turn in self.free()}

    def may_run(self, owner: str) -> bool:
        return len(self.running(owner)) < self.max_running.get(owner, math.inf)

    def held_back(self) -> int:
        """Waiting turns that no worker could take now: the most that could is counted key by key, then tenant by tenant."""
        could = 0.0
        for tenant in {turn.tenant for turn in self.at("waiting")}:
            by_key = Counter(turn.submission.key for turn in (*self.waiting(tenant), *self.suspects(tenant)))
            could += min(self._room(tenant), sum(min(self._room(key), count) for key, count in by_key.items()))
        return len(self.at("waiting")) - int(could)

    def _room(self, owner: str) -> float:
        return max(0, self.max_running.get(owner, math.inf) - len(self.running(owner)))

    def held(self, worker: str) -> set[str]:
        return {turn.name for turn in self.at("running") if turn.worker == worker}

    def stops(self, worker: str) -> dict[str, str]:
        return {turn.name: turn.stop for turn in self.at("running") if turn.worker == worker and turn.stop}

    def next_in_line(self) -> set[str]:
        """The turns that may come next: the best of a tenant that was served least. More than one only where they tie."""
        active = self.active()
        lowest = min(active.values(), default=math.inf)
        first = [tenant for tenant in active if active[tenant] <= lowest + TIE]
        return {turn.name for tenant in first for turn in _first([one for one in self.free() if one.tenant == tenant])}

    def next_suspects(self, worker: str, *, due: bool) -> tuple[set[str], bool]:
        """The suspects that this worker may get next, and whether nothing but one of them may come."""
        lines: dict[str, list[Turn]] = {}
        if worker not in self.wards():
            for tenant in filter(self.may_run, {turn.tenant for turn in self.suspects()}):
                may = [turn for turn in self.suspects(tenant) if all(map(self.may_run, turn.owners))]
                fitting = [turn for turn in _first(may) if turn.apart == 1 or self.may_be_alone(worker)]
                if fitting:
                    lines[tenant] = fitting
        lowest = math.inf if due else min(self.active().values(), default=math.inf)
        least = min((self.counters.service[tenant] for tenant in lines), default=math.inf)
        if least > lowest + TIE:
            return set(), False
        first = [tenant for tenant in lines if self.counters.service[tenant] <= least + TIE]
        return {turn.name for tenant in first for turn in lines[tenant]}, least < lowest - TIE

    def may_be_alone(self, worker: str) -> bool:
        """Whether a suspect could be this worker's only turn, at once or when it has cleared itself."""
        return all(role == "together" for other, role in self.wards().items() if other != worker)

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
        waiting = self.length(submission.tenant)
        if 0 < submission.max_waiting <= waiting:
            return "full"
        if 0 < submission.key_max_waiting <= (self.length(submission.key) if submission.key else 0):
            return "key_full"
        free = submission.pool_max_waiting - len(self.at("waiting"))
        return "busy" if submission.pool_max_waiting and waiting >= SHARE * free else "accepted"

    def enqueue(self, submission: Submission, *, arrival_ms: int) -> None:
        """An accepted turn enters, and its tenant's and its key's running limits hold from now on."""
        self._limit(submission.tenant, submission.max_running)
        if submission.key:
            self._limit(submission.key, submission.key_max_running)
        task = self.tasks.setdefault(submission.task, Task(submission.task, followed=bool(submission.inbox)))
        turn = self.turns[submission.turn] = Turn(submission, arrival_ms, task)
        self.arrived += 1
        self.arrived_tokens += submission.estimated_tokens
        turn.log.append(Entry("state", "queued"))
        self._place(submission.tenant)
        self.rung = self.rung or submission.tenant in self.active()

    def claim(self, worker: str, slots: int, *, lapsed: bool, moved: Sequence[str]) -> list[Turn]:
        """`moved` left the line, in this order; returns those that the worker got (the others have expired)."""
        claimed: list[Turn] = []
        left, due = list(moved), worker in self.clearing
        more = not self._takes_nothing(worker)
        if more:
            self.clearing.discard(worker)
        while more and len(claimed) < slots:
            suspects, only = self.next_suspects(worker, due=due)
            options = suspects if only else suspects | self.next_in_line()
            due = False
            name = left.pop(0) if left else None
            unfit = {one for one in suspects if self._needs_room(one, worker)}
            if name is None and unfit:
                self.clearing.add(worker)
                break
            if name is None and not options:
                self.rung = self.rung and bool(self.suspects())
                break
            if name not in options - unfit:
                raise NotAllowed(f"{name} left the line, next were {options}, {len(claimed)}/{slots} claimed")
            turn = self.turns[name]
            if self._passed(turn.deadline_ms):
                self._end_here(turn, "expired")
            else:
                claimed.append(self._take(turn, worker, lapsed=lapsed))
                more = turn.apart != 2
        if left:
            raise NotAllowed(f"{left} left the line, {len(claimed)}/{slots} claimed")
        return claimed

    def _takes_nothing(self, worker: str) -> bool:
        ward = self.wards().get(worker)
        return ward == "alone" or (ward == "clearing" and bool(self.suspects()) and bool(self.held(worker)))

    def _needs_room(self, name: str, worker: str) -> bool:
        turn = self.turns[name]
        return turn.apart == 2 and bool(self.held(worker)) and not self._passed(turn.deadline_ms)

    def _take(self, turn: Turn, worker: str, *, lapsed: bool) -> Turn:
        if turn.apart:  # at the lowest counter, as all that wait
            self.counters = fair_share.join(self.counters, tenant=turn.tenant)
        self.counters, turn.bill = fair_share.charge(self.counters, turn.bill)
        turn.place, turn.worker, turn.attempt, turn.lapsed = "running", worker, turn.attempt + 1, lapsed
        self._place(turn.tenant)
        turn.log.append(Entry("state", f"running {turn.attempt}"))
        if turn.attempt > 1:
            turn.log.append(Entry("attempt", f"{turn.attempt} {turn.lost_by}"))
        self.records.append(Note("claimed", turn.name, turn.task.name, turn.attempt, worker))
        return turn

    def emit(self, worker: str, name: str, attempt: int, seq: int, text: str, token_ids: Iterable[int]) -> bool:
        """Whether the worker may speak for the turn; a number that was used before adds nothing."""
        turn = self.holds(worker, name, attempt)
        if turn and seq == len(turn.log) + 1:
            turn.log.append(Entry("text", text))
            turn.streamed += token_ids
        return turn is not None

    def finish(
        self, worker: str, name: str, attempt: int, outcome: str, *, tokens: int, goes_on: Entry | None = None
    ) -> bool:
        """Whether the worker may end the turn. The estimate is corrected to the `tokens` that were served.

        With the event `goes_on` the task waits for its next turn, unless this one was to stop: then the task ends, too.
        """
        turn = self.holds(worker, name, attempt)
        if turn:
            stop = turn.stop
            self._correct(turn, tokens)
            self._end(turn, outcome, worker, goes_on)
            if goes_on and stop:
                self.close(turn.task, turn.name, stop)
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

    def abandon(self, worker: str) -> int:
        for name in self.held(worker):
            self.turns[name].lapsed = True
        return len(self.held(worker))

    def dismiss(self, worker: str) -> int:
        self.killed.add(worker)
        return len(self.held(worker))

    def reap(self, *, max_attempts: int, max_losses: int, silent: set[str], blind: bool, moved: Sequence[str]) -> int:
        """Lapsed leases first, then deadlines. `silent` workers do not beat. `moved` only orders what may come in any order."""
        first = {name: nth for nth, name in reversed(list(enumerate(moved)))}
        self.looked = True
        for turn in self.at("running") if blind else ():
            turn.lapsed = False
        lost = {turn.worker for turn in self.at("running") if turn.lapsed} & silent
        alone = {turn.name for turn in self.at("running") if len(self.held(turn.worker)) == 1}
        lapsed = [turn for turn in self.at("running") if turn.lapsed or turn.worker in lost]
        for turn in sorted(lapsed, key=lambda turn: first.get(turn.name, -1)):
            if turn.worker in lost & self.killed:
                verdict = None
            elif turn.worker in lost:
                turn.losses += 1
                verdict = "poison" if turn.losses >= max_losses and turn.name in alone else None
                if not verdict and turn.losses >= max_losses:
                    turn.apart = 1 if turn.losses == max_losses else 2
            else:
                turn.failures += 1
                verdict = "attempts_exhausted" if turn.failures >= max_attempts else None
            if turn.stop or verdict:
                self._end_here(turn, turn.stop or f"failed {verdict}")
            else:
                self._requeue(turn, "worker_lost")
        self.clearing -= silent
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
            elif turn and turn.place in {"done", "kept"}:
                yield "over"
            else:
                yield "unknown"

    def limit(self, running: dict[str, int]) -> int:
        """These running limits hold now, and no others; returns how many changed. Owners without turns here may be left out."""
        changed = 0
        for owner in sorted(running.keys() | self.max_running.keys()):
            here = owner in self.max_running or self.waiting(owner) or self.suspects(owner) or self.running(owner)
            most = running.get(owner, 0)
            if here and most != self.max_running.get(owner, 0):
                changed += 1
                self._limit(owner, most)
                for tenant in {turn.tenant for turn in (*self.waiting(owner), *self.suspects(owner))}:
                    self._place(tenant)
                    self.rung = self.rung or tenant in self.active() or bool(self.suspects(tenant))
        return changed

    def _limit(self, owner: str, most: int) -> None:
        self.max_running.pop(owner, None)
        if most:
            self.max_running[owner] = most

    def acknowledge(self, count: int) -> None:
        """The oldest records leave, and the turns and tasks that they end."""
        for note in self.records[:count]:
            if note.kind == "finished":
                self.turns[note.turn].place = "kept" if note.goes_on else "acknowledged"
            if note.kind == "closed" or (note.kind == "finished" and not note.goes_on):
                self.tasks[note.task].forgotten = True
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
        self.records.append(Note("requeued", turn.name, turn.task.name, turn.attempt, turn.worker))
        turn.log.append(Entry("state", "queued"))
        turn.place, turn.worker, turn.lapsed, turn.lost_by = "waiting", None, False, reason
        self._place(turn.tenant)
        self.rung = self.rung or turn.tenant in self.active() or turn.apart > 0

    def _end_here(self, turn: Turn, outcome: str) -> None:
        """An end that the queue decides; the tenant pays for what the log has."""
        if turn.attempt:
            self._correct(turn, len(turn.streamed))
        self._end(turn, outcome, turn.worker)

    def _end(self, turn: Turn, outcome: str, worker: str | None, goes_on: Entry | None = None) -> None:
        self.paced = self.paced or turn.place == "running"
        turn.place, turn.worker, turn.stop, turn.watched, turn.lapsed = "done", None, None, False, False
        if self._place(turn.tenant):  # it was at its running limit
            self.rung = True
        turn.log.extend([goes_on, Entry("state", "waiting")] if goes_on else [Entry("outcome", outcome)])
        self.records.append(
            Note("finished", turn.name, turn.task.name, turn.attempt, worker, outcome, goes_on=goes_on is not None)
        )


def _first(line: list[Turn]) -> list[Turn]:
    """The turns that come first in a line; more than one where they tie."""
    first = min(((turn.apart, turn.rank) for turn in line), default=None)
    return [turn for turn in line if (turn.apart, turn.rank) == first]
