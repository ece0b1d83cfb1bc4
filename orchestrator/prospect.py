"""A pool's fleet after a tick's actions, as the outlook is foretold from it."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.allotment import need_of
from orchestrator.models import Pool, Recipe
from orchestrator.outlook import Prospect, bar
from orchestrator.placement.packing import Capacity, most_of
from orchestrator.plan import Plan, Start
from orchestrator.watch import Observed


def prospect_of(
    pool: Pool,
    recipe: Recipe,
    observed: Sequence[Observed],
    todo: Plan,
    *,
    now: float,
    capacity: Capacity,
    max_workers: int,
    hindered: bool,
) -> Prospect:
    """What serves, what starts, and how much more there may be.

    `recipe`: what the next workers are made from.
    `hindered`: no worker more can start now, whatever waits: the fleet is left as it is, or the host has no room.
    """
    going = {action.worker for action in todo.actions if not isinstance(action, Start)}
    views = [one.view for one in observed if one.view.id not in going]
    starting = [view.started_at for view in views if view.state == "starting"]
    starting += [now for action in todo.actions if isinstance(action, Start)]
    ready = sum(view.state == "ready" for view in views)
    need = need_of(recipe)
    return Prospect(
        slots=max(
            [recipe.slots, *(one.row.slots for one in observed)]
        ),  # whoever was started before an edit keeps its own
        ready=ready,
        starting=tuple(starting),
        most=min(max_workers, most_of(capacity, need)),
        barred=bar(
            is_paused=pool.is_paused,
            max_workers=max_workers,
            need=need,
            capacity=capacity,
        ),
        hindered=hindered or bool(todo.note),
    )
