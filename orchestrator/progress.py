"""How far a pool's roll-out has come, in one tick: its row and its course, brought forward, and what its workers are made from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime

from orchestrator import records
from orchestrator.allotment import would_follow
from orchestrator.host import Host
from orchestrator.models import Pool, PoolRevision, Rollout, Worker
from orchestrator.plan import Plan, Start
from orchestrator.refusals import Kind, of_rollout, outcome_of
from orchestrator.revisions import advance, course_of, note_ready, rollout_of
from orchestrator.rollout import Course, patience_s, step
from orchestrator.runtimes import RuntimeUnavailable
from orchestrator.watch import Observed, Watch
from orchestrator.waves import Supply, fit, held_after, plan_wave


@dataclass(slots=True)
class Progress:
    """The memory is the row's; here is only which attempt was seen last, and how many the host held when one made room in place.

    That is lost with the process, at the price of one old worker that is started once more.
    """

    host: Host
    watch: Watch
    row: Rollout = field(init=False)
    course: Course = field(init=False)
    _tried: tuple[str, datetime] | None = None
    _held: tuple[tuple[str, bool], int] = (("", False), 0)
    """With the target, and whether it was under way."""

    def look(self, pool: Pool, *, now: float) -> None:
        """Learn where it stands. What is tried again has a clean slate."""
        self.row = rollout_of(pool, now=records.moment(now))
        self.course = self._course(pool)
        if self.row.state != Rollout.State.ROLLING:
            return
        trying = (str(self.row.target_id), self.row.since)
        if self._tried is not None and self._tried[0] == trying[0] and self._tried != trying:
            self.watch.backoffs.pop(trying[0], None)
        self._tried = trying

    def runtimes(self, rows: Iterable[Worker]) -> set[str]:
        """Without which the fleet cannot be touched. One that only the new revision needs is the roll-out's matter."""
        return {row.runtime for row in rows if row.revision_id != self.row.target_id} or {self.wanted.runtime}

    def in_waves(self, observed: list[Observed]) -> bool:
        """Whether others than those of the wanted revision are there or made room, or canaries are held: else all are alike."""
        if self.course.holds_canaries or (self.course.under_way and self.course.held):
            return True
        return any(view.revision != self.course.wanted for view in fit([one.view for one in observed]))

    def advance(self, pool: Pool, observed: list[Observed], *, desired: int, start_s: float | None, now: float) -> None:
        """Bring the roll-out to its next state, if that is due. Raises `LeadLost`."""
        ready = {one.view.revision for one in observed if one.view.state == "ready"}
        for revision in (self.row.current, self.row.target):
            if revision is not None and revision.ready_at is None and str(revision.pk) in ready:
                note_ready(revision, now=records.moment(now))
        patience = patience_s(start_timeout_s=self.host.start_timeout_s, start_s=start_s)
        fleet = fit([one.view for one in observed])
        due = step(self.course, desired=desired, workers=fleet, now=now, ready_within_s=patience)
        if due is None:
            return
        self.host.confirm()
        tail = self._log_tail([one for one in observed if one.view.id == due.worker])
        advance(self.row, due, now=records.moment(now), log_tail=tail)
        self.course = self._course(pool)

    def plan(
        self,
        observed: list[Observed],
        *,
        desired: int,
        reason: str,
        now: float,
        room: int,
        room_note: str = "",
        coming: bool = False,
    ) -> Plan:
        """The wave's actions of this moment; `room` and the rest as of a `Supply`."""
        old = [one.row for one in observed if one.view.revision != self.course.wanted]
        follows = all(would_follow(row, self.wanted) for row in old)
        supplies = {
            str(revision.pk): Supply(
                self.watch.backoff(str(revision.pk)), room, room_note, coming, follows, self.host.awaited(revision)
            )
            for revision in self.revisions
        }
        views = [one.view for one in observed]
        made = plan_wave(
            self.course,
            desired=desired,
            reason=reason,
            workers=views,
            supplies=supplies,
            now=now,
            grace_s=self.host.fleet.grace_s,
        )
        self._held = (self._held[0], held_after(self.course, made, views))
        return made

    def refusal(self) -> dict[Kind, str]:
        """What the roll-out says of itself, unless there is none."""
        return of_rollout(self.course, number=(self.row.target or self.row.current).number, reason=self.row.reason)

    def outcome(self) -> str:
        """How the last one ended, if there is none."""
        return outcome_of(self.course, number=self.row.current.number, reason=self.row.reason)

    @property
    def revisions(self) -> list[PoolRevision]:
        """Those that workers may be started from now."""
        return [self.row.current, *([self.row.target] if self.row.target is not None else [])]

    def revision_of(self, start: Start) -> PoolRevision:
        """What that worker is made from."""
        named = [revision for revision in self.revisions if str(revision.pk) == start.revision]
        return named[0] if named else self.wanted

    def recipe_of(self, plan: Plan) -> PoolRevision:
        """What the workers are made from that the plan starts, or would start next."""
        return next((self.revision_of(action) for action in plan.actions if isinstance(action, Start)), self.wanted)

    @property
    def wanted(self) -> PoolRevision:
        """What all workers should be made from in the end."""
        return next(revision for revision in self.revisions if str(revision.pk) == self.course.wanted)

    def _course(self, pool: Pool) -> Course:
        course = course_of(pool, self.row)
        key = (course.target, course.under_way)
        if self._held[0] != key:
            self._held = (key, 0)
        return replace(course, held=self._held[1] if course.in_place else 0)

    def _log_tail(self, those: list[Observed]) -> str:
        try:
            tails = [
                records.without_secrets(one.row, self.host.fleet.runtimes[one.row.runtime].log_tail(one.instance.ref))
                for one in those
                if one.instance is not None
            ]
        except RuntimeUnavailable:
            return ""
        return "".join(tails)
