"""A policy on a pool's page: tried on the last day, and saved unless somebody else has changed it meanwhile."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import asdict, replace
from typing import Any

from django.conf import settings
from django.db import transaction

from console.pools.forms import PolicyForm, policy_of
from console.pools.turns import passed
from orchestrator import records
from orchestrator.models import Pool, ScalingPolicy
from orchestrator.policies.demand import seconds
from orchestrator.rehearsal.figures import Figures, Tried
from orchestrator.rehearsal.trial import Trial
from orchestrator.trials import Material, material_of
from taskqueue.connections import connect
from taskqueue.failures import QueueUnavailable
from taskqueue.sync_client import standing

FORESEES = ScalingPolicy.Kind.FORECAST


class Changed(Exception):
    """Somebody else has changed the policy since it was shown."""


def trials_of(pool: Pool, form: PolicyForm) -> tuple[Material, list[Trial]]:
    """The present policy's trial and that of the (valid) form, both held against the form's bound.

    Raises `TooLittle`, `Unreadable`.
    """
    candidate, present = form.instance, Pool.objects.select_related("policy").get(pk=pool.pk)
    foresees = FORESEES in (candidate.kind, policy_of(present).kind)
    material = material_of(
        present,
        now=time.time(),
        bound_s=candidate.wait_bound_s,
        hold_s=_hold_s(pool),
        foresees=foresees,
        turns=passed,
    )
    return material, [material.present, replace(material.present, policy=records.policy_value(candidate))]


def compared(material: Material, trials: list[Trial], tried: list[Tried]) -> dict[str, Any]:
    """Both results beside what happened, as plain values, ready for JSON."""
    present, candidate = tried
    happened = material.happened
    return {
        "notes": list(material.notes),
        "trust": "" if happened is None else f"{trust(present.figures, happened.figures)} {material.steered}".strip(),
        "bound_s": trials[0].bound_s,
        "happened": None if happened is None else asdict(happened),
        "present": asdict(present),
        "candidate": asdict(candidate),
    }


def trust(rehearsed: Figures, happened: Figures) -> str:
    """How far the present policy's rehearsal lies off what happened, in a sentence."""
    said = [f"comes to {rehearsed.worker_hours:.2f} worker-hours where {happened.worker_hours:.2f} were used"]
    if rehearsed.p99_s is not None and happened.p99_s is not None:
        said.append(f"to a p99 wait of {seconds(rehearsed.p99_s)} where it was {seconds(happened.p99_s)}")
    return f"How far to trust it: rehearsed, the present policy {', and '.join(said)}."


@transaction.atomic
def save(pool: Pool, data: Any) -> PolicyForm:
    """Write the policy if the form is valid, and the stored one is what was shown. Raises `Changed`."""
    Pool.objects.select_for_update().get(pk=pool.pk)  # a pool without a policy has no row of it that could be locked
    stored = ScalingPolicy.objects.filter(pool=pool).first()
    form = PolicyForm(pool, data, stored=stored or ScalingPolicy(pool=pool))
    if form.is_stale:
        raise Changed(
            "Somebody else has changed this policy meanwhile, so nothing was saved: look at it as it is now, and change it "
            "anew."
        )
    if form.is_valid():
        form.save()
    return form


def _hold_s(pool: Pool) -> float | None:
    try:
        with closing(connect(settings.REDIS_URL)) as redis:
            pace = standing(redis, pool.slug, most=0).pace
    except QueueUnavailable:
        return None
    return pace.mean_ms / 1000 if pace.turns else None
