"""Changes of revisions and roll-outs in Postgres: an edited pool gets a revision, staff has its word, the loop brings it forward.

A pool's row is what staff wants; its roll-out's row says how far the fleet came. Both sides change the latter, each only from
the state that it has seen: what changed meanwhile is seen at the next tick.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import cast
from uuid import UUID

from django.db import transaction
from django.db.models import F, Max

from orchestrator.models import Pool, PoolRevision, Rollout
from orchestrator.recipe_models import Recipe
from orchestrator.rollout import MOST_FAILURES, Course, State, Step
from orchestrator.specs import RECIPE, fingerprint


def digest(recipe: Recipe) -> str:
    """The name of everything that a worker is made from."""
    return hashlib.sha256(fingerprint(recipe).encode()).hexdigest()


def rollout_of(pool: Pool, *, now: datetime) -> Rollout:
    """The pool's roll-out, after an edit was noticed that nobody has said (by a shell, by a script)."""
    rollout: Rollout | None = getattr(pool, "rollout", None)
    if rollout is None or (rollout.target or rollout.current).digest != digest(pool):
        pool.rollout = rollout = note_edit(pool.pk, now=now)
    return rollout


@transaction.atomic
def note_edit(pool_id: UUID, *, now: datetime, by: str = "", reason: str = "The pool was edited.") -> Rollout:
    """Bring the roll-out to what the pool's row says now; an equal revision is used again, no edit changes nothing."""
    pool = Pool.objects.select_for_update().get(pk=pool_id)
    revision = _revision_of(pool, by=by)
    rollout = (
        Rollout.objects.select_related("current", "target").select_for_update(of=("self",)).filter(pool=pool).first()
    )
    if rollout is None:
        return Rollout.objects.create(pool=pool, current=revision, since=now, reason="The first revision.")
    if revision.pk == (rollout.target_id or rollout.current_id):
        return rollout
    if revision.pk == rollout.current_id:
        _begin(rollout, Rollout.State.STEADY, now, reason="The pool was edited back.")
    elif rollout.current.ready_at is None:
        # Nothing that ever served is lost: there is nothing to go back to.
        rollout.current = revision
        _begin(rollout, Rollout.State.STEADY, now, reason="No earlier revision ever was ready.")
    else:
        rollout.target = revision
        _begin(rollout, Rollout.State.ROLLING, now, reason=reason)
    return rollout


def go_on(rollout: Rollout, *, now: datetime, by: str) -> bool:
    """Past the canaries; False when it is not under way any more."""
    return _said(rollout, Rollout.UNDER_WAY, now, state="rolling", is_confirmed=True, reason=f"{by} lets it go on.")


def go_back(rollout: Rollout, *, now: datetime, by: str) -> bool:
    """Back to the current revision; False when it is not under way any more."""
    return _said(rollout, Rollout.UNDER_WAY, now, state="reverted", reason=f"{by} called it back.")


def try_again(rollout: Rollout, *, now: datetime, by: str) -> bool:
    """Once more what failed or was called back; False when there is no such thing."""
    ended = (Rollout.State.FAILED, Rollout.State.REVERTED)
    fresh = {"failures": 0, "is_confirmed": False, "log_tail": ""}
    return _said(rollout, ended, now, state="rolling", reason=f"{by} tries it again.", **fresh)


def advance(rollout: Rollout, step: Step, *, now: datetime, log_tail: str = "") -> bool:
    """The loop's step; False when somebody else changed the roll-out meanwhile."""
    changes: dict[str, object] = {"state": step.state, "reason": step.reason, "since": now}
    if step.state == "steady":
        changes |= {"current": rollout.target, "target": None}
    if log_tail:
        changes["log_tail"] = log_tail
    seen = Rollout.objects.filter(pk=rollout.pk, state=rollout.state, target=rollout.target_id, since=rollout.since)
    if not seen.update(**changes):
        return False
    for name, value in changes.items():
        setattr(rollout, name, value)
    return True


def count_failure(pool_id: UUID, revision_id: UUID, *, error: str, log_tail: str, hopeless: bool) -> None:
    """A worker failed: if its revision is being rolled out, that knows of it. A hopeless one is not tried again."""
    under_way = Rollout.objects.filter(pool=pool_id, target=revision_id, state__in=Rollout.UNDER_WAY)
    count = MOST_FAILURES if hopeless else 1
    under_way.update(failures=F("failures") + count, reason=error, log_tail=log_tail)


def note_ready(revision: PoolRevision, *, now: datetime) -> None:
    """A worker of this revision is ready, the first time."""
    PoolRevision.objects.filter(pk=revision.pk, ready_at__isnull=True).update(ready_at=now)
    revision.ready_at = now


def course_of(pool: Pool, rollout: Rollout) -> Course:
    """The roll-out as a value."""
    return Course(
        current=str(rollout.current_id),
        target=str(rollout.target_id or ""),
        state=cast("State", rollout.state),
        surge_share=pool.surge_share,
        canary_share=pool.canary_share,
        in_place=pool.rolls_in_place,
        confirmed=rollout.is_confirmed,
        failures=rollout.failures,
        error=rollout.reason,
    )


def _revision_of(pool: Pool, *, by: str) -> PoolRevision:
    known = pool.revisions.filter(digest=digest(pool)).first()
    if known is not None:
        return known
    last = pool.revisions.aggregate(last=Max("number"))["last"] or 0
    recipe = {name: getattr(pool, name) for name in RECIPE}
    return PoolRevision.objects.create(pool=pool, number=last + 1, digest=digest(pool), created_by=by, **recipe)


def _begin(rollout: Rollout, state: Rollout.State, now: datetime, *, reason: str) -> None:
    rollout.state, rollout.since, rollout.reason = state, now, reason
    rollout.failures, rollout.is_confirmed, rollout.log_tail = 0, False, ""
    if state == Rollout.State.STEADY:
        rollout.target = None
    rollout.save()


def _said(rollout: Rollout, states: tuple[str, ...], now: datetime, **changes: object) -> bool:
    seen = Rollout.objects.filter(pk=rollout.pk, target=rollout.target_id, state__in=states)
    return bool(seen.update(since=now, **changes))
