"""What staff says to one pool's fleet: pause it, set its size, drain it, replace its workers. The loop sees it at its next tick."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import F

from orchestrator.manual_rows import MOST_WORKERS, ManualSize
from orchestrator.models import Pool, Rollout
from orchestrator.revisions import note_edit

LONGEST_MIN = 7 * 24 * 60
"""A size that is to stand for longer is the policy's matter."""


class NotNow(Exception):
    """It cannot be said to the pool as it is: the message tells what to do first."""


@transaction.atomic
def pause(pool_id: UUID) -> None:
    """Leave the fleet as it is."""
    pool = _locked(pool_id)
    if pool.is_paused:
        raise NotNow("The pool is paused already.")
    Pool.objects.filter(pk=pool_id).update(is_paused=True)


@transaction.atomic
def resume(pool_id: UUID) -> None:
    """Have the fleet follow its policy (or a size that was set for a time) again, after a pause or a drain."""
    pool = _locked(pool_id)
    ended, _ = ManualSize.objects.filter(pool=pool, until__isnull=True).delete()
    if not (pool.is_paused or ended):
        raise NotNow("The pool is neither paused nor drained.")
    Pool.objects.filter(pk=pool_id).update(is_paused=False)


@transaction.atomic
def set_size(pool_id: UUID, *, workers: int, minutes: int, now: datetime, by: str) -> ManualSize:
    """Keep so many workers for so many minutes, whatever the policy wants. It takes the place of an earlier size or a drain."""
    if not 0 <= workers <= MOST_WORKERS:
        raise NotNow(f"workers: a whole number from 0 to {MOST_WORKERS}.")
    if not 1 <= minutes <= LONGEST_MIN:
        raise NotNow(f"minutes: a whole number from 1 to {LONGEST_MIN} (a week). For longer, change the policy.")
    if _locked(pool_id).is_paused:
        raise NotNow("The pool is paused, so no size would be kept: resume it first.")
    return _put(pool_id, workers=workers, until=now + timedelta(minutes=minutes), set_by=by, set_at=now)


@transaction.atomic
def end_size(pool_id: UUID, *, now: datetime) -> None:
    """Have the policy decide again before the time is over."""
    _locked(pool_id)
    ended, _ = ManualSize.objects.filter(pool=pool_id, until__gt=now).delete()
    if not ended:
        raise NotNow("No size is set by hand any more: the policy decides.")


@transaction.atomic
def drain(pool_id: UUID, *, now: datetime, by: str) -> ManualSize:
    """Have all workers hand over and go, and start none until the pool is resumed. A pause ends with it."""
    pool = _locked(pool_id)
    if not pool.is_paused and ManualSize.objects.filter(pool=pool, until__isnull=True).exists():
        raise NotNow("The pool is drained already.")
    Pool.objects.filter(pk=pool_id).update(is_paused=False)
    return _put(pool_id, workers=0, until=None, set_by=by, set_at=now)


@transaction.atomic
def roll_all(pool_id: UUID, *, now: datetime, by: str) -> Rollout:
    """Replace all workers by new ones of the same recipe, as any roll-out does: a revision that differs in its generation alone."""
    pool = _locked(pool_id)
    if pool.is_paused:
        raise NotNow("The pool is paused, so no worker would be replaced: resume it first.")
    rollout = note_edit(pool_id, now=now, by=by)
    if rollout.state in Rollout.UNDER_WAY:
        raise NotNow("A roll-out is under way, which replaces all workers: wait for its end, or call it back.")
    if rollout.target is not None:
        raise NotNow(f"Revision {rollout.target.number} is not used: try it again, or edit the pool back, first.")
    Pool.objects.filter(pk=pool_id).update(generation=F("generation") + 1)
    return note_edit(pool_id, now=now, by=by, reason=f"{by} has all workers replaced.")


def _locked(pool_id: UUID) -> Pool:
    return Pool.objects.select_for_update().get(pk=pool_id)


def _put(pool_id: UUID, **fields: object) -> ManualSize:
    size, _ = ManualSize.objects.update_or_create(pool_id=pool_id, defaults=fields)
    return size
