"""A pool's fleet after a tick's actions, as the outlook is foretold from it."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.host import Host
from orchestrator.models import Pool
from orchestrator.outlook import Prospect, bar
from orchestrator.plan import Plan, Start
from orchestrator.watch import Look, Observed


def prospect_of(
    pool: Pool, observed: Sequence[Observed], todo: Plan, *, look: Look, host: Host, max_workers: int, blind: bool
) -> Prospect:
    """What serves, what starts, and how much more there may be. `blind`: the fleet is left as it is, whatever waits."""
    going = {action.worker for action in todo.actions if not isinstance(action, Start)}
    views = [one.view for one in observed if one.view.id not in going]
    starting = [view.started_at for view in views if view.state == "starting"]
    starting += [look.now for action in todo.actions if isinstance(action, Start)]
    ready = sum(view.state == "ready" for view in views)
    most = min(max_workers, host.max_workers)
    if pool.gpus_per_worker:
        most = min(most, len(host.gpus) // pool.gpus_per_worker)
    hindered = blind or bool(todo.note)
    if not ready and not starting and not hindered:
        hindered = host.room(look.sight, gpus_per_worker=pool.gpus_per_worker)[0] < 1
    return Prospect(
        slots=max(
            [pool.slots, *(one.row.slots for one in observed)]
        ),  # whoever was started before an edit keeps its own
        ready=ready,
        starting=tuple(starting),
        most=most,
        barred=bar(
            is_paused=pool.is_paused,
            max_workers=max_workers,
            host_max=host.max_workers,
            gpus_per_worker=pool.gpus_per_worker,
            gpus=len(host.gpus),
        ),
        hindered=hindered,
    )
