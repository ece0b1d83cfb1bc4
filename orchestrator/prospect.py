"""A pool's fleet after a tick's actions, as the outlook is foretold from it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from orchestrator.allotment import need_of
from orchestrator.models import Pool
from orchestrator.outlook import ASK_AGAIN_S, SPENT, Prospect, bar
from orchestrator.placement.packing import Capacity, most_of
from orchestrator.plan import Plan, Start
from orchestrator.policies.budget import DAY_S, day_of
from orchestrator.policies.demand import Policy
from orchestrator.policies.override import Override
from orchestrator.recipe_models import Recipe
from orchestrator.watch import Observed


def prospect_of(
    pool: Pool,
    recipe: Recipe,
    observed: Sequence[Observed],
    todo: Plan,
    *,
    now: float,
    capacity: Capacity,
    policy: Policy,
    is_spent: bool,
    hindered: bool,
    override: Override | None = None,
) -> Prospect:
    """What serves, what starts, and how much more there may be.

    `recipe`: what the next workers are made from.
    `is_spent`: the day's GPU-hours are over, and the pool keeps its minimum alone.
    `override`: a size that is set by hand, in place of the policy's bounds and of its budget.
    `hindered`: no worker more can start now, whatever waits: the fleet is left as it is, or the host has no room.
    """
    going = {action.worker for action in todo.actions if not isinstance(action, Start)}
    views = [one.view for one in observed if one.view.id not in going]
    starting = [view.started_at for view in views if view.state == "starting"]
    starting += [now for action in todo.actions if isinstance(action, Start)]
    ready = sum(view.state == "ready" for view in views)
    need = need_of(recipe)
    bound = policy.max_workers if override is None else override.workers
    is_spent = is_spent and override is None
    max_workers = min(policy.min_workers, bound) if is_spent else bound
    barred = bar(is_paused=pool.is_paused, max_workers=bound, need=need, capacity=capacity)
    over = is_spent and not barred and max_workers == 0
    retry_s = math.ceil(day_of(now) + DAY_S - now) if over else ASK_AGAIN_S
    if override is not None and override.until is not None and not pool.is_paused:
        retry_s = min(retry_s, math.ceil(override.until - now))
    return Prospect(
        slots=max(
            [recipe.slots, *(one.row.slots for one in observed)]
        ),  # whoever was started before an edit keeps its own
        ready=ready,
        starting=tuple(starting),
        most=min(max_workers, most_of(capacity, need)),
        barred=SPENT if over else barred,
        hindered=hindered or bool(todo.note),
        retry_s=retry_s,
    )
