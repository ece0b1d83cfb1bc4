"""What staff can say to a pool from its page: each is one call to the orchestrator's services, and an entry in the audit log."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.utils import timezone

from audit.acting import one_act
from audit.recording import record
from orchestrator import revisions, steering
from orchestrator.models import Pool, Rollout
from orchestrator.steering import NotNow

Said = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Action:
    """`act` does it at a moment, by somebody's name, with what was written beside it; it gives the sentence of success.

    `label` is the button's, `asks` what its confirmation says, `kind` how grave it looks.
    """

    label: str
    asks: str
    act: Callable[[Pool, datetime, str, Said], str]
    kind: str = "plain"


def perform(request: HttpRequest, pool: Pool, name: str, said: Said) -> str:
    """Do it and write it down, both or none; what happened, in a sentence. Raises `NotNow`."""
    with one_act(request):
        before = _standing(pool.pk)
        told = ACTIONS[name].act(pool, timezone.now(), request.user.get_username(), said)
        record(request, f"pool.{name}", pool, before=before, after={**_standing(pool.pk), **said})
    return told


def _standing(pool_id: Any) -> dict[str, Any]:
    """What actions change, as plain values."""
    pool = Pool.objects.select_related("manual_size", "rollout__target").get(pk=pool_id)
    size, rollout = getattr(pool, "manual_size", None), getattr(pool, "rollout", None)
    return {
        "paused": pool.is_paused,
        "size": None if size is None else {"workers": size.workers, "until": size.until and size.until.isoformat()},
        "generation": pool.generation,
        "rollout": rollout and rollout.state,
    }


def _pause(pool: Pool, now: datetime, by: str, said: Said) -> str:
    steering.pause(pool.pk)
    return "Scaling is paused: the fleet is left as it is."


def _resume(pool: Pool, now: datetime, by: str, said: Said) -> str:
    steering.resume(pool.pk)
    return "The fleet follows its policy again."


def _size(pool: Pool, now: datetime, by: str, said: Said) -> str:
    size = steering.set_size(pool.pk, workers=said["workers"], minutes=said["minutes"], now=now, by=by)
    return f"The size is set to {size.workers} until {size.until:%Y-%m-%d %H:%M} UTC; then the policy goes on."


def _end_size(pool: Pool, now: datetime, by: str, said: Said) -> str:
    steering.end_size(pool.pk, now=now)
    return "The policy decides again."


def _drain(pool: Pool, now: datetime, by: str, said: Said) -> str:
    steering.drain(pool.pk, now=now, by=by)
    return "The pool is being drained: its workers hand over and go, and none starts until it is resumed."


def _roll(pool: Pool, now: datetime, by: str, said: Said) -> str:
    rollout = steering.roll_all(pool.pk, now=now, by=by)
    revision = rollout.target or rollout.current
    return f"Revision {revision.number} replaces all workers in waves; it is made from the same."


def _word(say: Callable[..., bool], told: str) -> Callable[[Pool, datetime, str, Said], str]:
    def act(pool: Pool, now: datetime, by: str, said: Said) -> str:
        rollout: Rollout | None = getattr(pool, "rollout", None)
        if rollout is None or not say(rollout, now=now, by=by):
            raise NotNow("The roll-out has moved on meanwhile: this cannot be said to it any more.")
        return told

    return act


ACTIONS: Mapping[str, Action] = {
    "pause": Action(
        "Pause scaling",
        "No worker is started or ended until somebody resumes it, whatever waits. Workers that run go on serving. New tasks are "
        "accepted while a worker serves.",
        _pause,
    ),
    "resume": Action(
        "Resume", "The fleet follows its policy again, at once: workers may start, or hand over and go.", _resume
    ),
    "size": Action(
        "Set a size",
        "For that time the fleet is kept at this size, whatever the policy, its bounds and its budget say. The host's room still "
        "bounds it. Then the policy goes on by itself.",
        _size,
    ),
    "end_size": Action(
        "End the set size", "The policy decides again at once: workers may start, or hand over and go.", _end_size
    ),
    "drain": Action(
        "Drain",
        "All workers hand over what they run and go. Nothing is started until somebody resumes the pool: what waits keeps waiting, "
        "and new tasks are refused once no worker serves.",
        _drain,
        "grave",
    ),
    "roll": Action(
        "Replace all workers",
        "New workers of the same recipe are started in waves; when they serve, as many old ones hand over. It can be called back "
        "until the last wave.",
        _roll,
    ),
    "go_on": Action(
        "Roll-out: go on",
        "The roll-out goes on past its canaries, until all workers are of the new revision.",
        _word(revisions.go_on, "The roll-out goes on."),
    ),
    "go_back": Action(
        "Roll-out: go back",
        "The fleet is brought back to the revision that served before. Workers of the new one hand over and go.",
        _word(revisions.go_back, "The fleet is brought back to the revision that served before."),
        "grave",
    ),
    "try_again": Action(
        "Roll-out: try again",
        "What failed, or was called back, is rolled out once more, from its first wave on.",
        _word(revisions.try_again, "It is rolled out once more."),
    ),
}
