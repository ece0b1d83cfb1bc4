"""One placement for all pools of a host: from what each would do to what each gets, with the sentences about it.

What a worker holds stands in its row, written before it is started (`orchestrator.holdings`), so nothing is given twice after a
crash, an edit of its pool, or while a runtime cannot be asked. What nobody has a row of is held, too, by its runtime's labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.fleet import Sight
from orchestrator.holdings import gpus_of
from orchestrator.models import Pool, Worker
from orchestrator.placement.identity import may_be, settled
from orchestrator.placement.packing import WHOLE, Capacity, Need, Room, Taken, short_of
from orchestrator.placement.patience import KEPT_S
from orchestrator.placement.place import Eviction, Grant, Placement, Wish, place
from orchestrator.placement.preemption import Held
from orchestrator.placement.shortage import Holder, shortage
from orchestrator.plan import Drain, Kill, Plan, Start, felt_least
from orchestrator.policies.demand import counted, seconds
from orchestrator.recipe_models import Recipe
from orchestrator.watch import Observed


@dataclass(frozen=True, slots=True)
class Draft:
    """What a pool would do if the host had room for all of it. `floor`: how many workers it keeps (None: it is left as it is).

    `recipe`: what the workers that it would start are made from; they are all of one revision.
    `spares`: why no lower pool's worker is to hand over for them (empty: they may). `keeps`: what is free is kept for them.
    """

    pool: Pool
    recipe: Recipe
    observed: Sequence[Observed]
    plan: Plan
    floor: int | None
    spares: str = ""
    keeps: bool = False


@dataclass(frozen=True, slots=True)
class Allotment:
    """What a pool got: what each worker that may start now takes, and why not more; its workers that make room for others.

    `more_come`: there will be more when workers have ended that are leaving. `more_fit`: the host has room for one worker more,
    beyond all that was given, and has just taken none from it. `spared`: why nobody makes room for it.
    """

    places: tuple[Taken, ...] = ()
    more_come: bool = False
    more_fit: bool = True
    refused: bool = False
    note: str = ""
    evictions: tuple[Drain, ...] = ()
    loss: str = ""
    spared: str = ""

    def carried_out(self, plan: Plan) -> Plan:
        """The plan with what is asked of the pool for others."""
        return replace(plan, actions=(*plan.actions, *self.evictions))


def allot(
    capacity: Capacity, sight: Sight, *, pools: Iterable[Pool], rows: Iterable[Worker], drafts: Sequence[Draft]
) -> dict[Any, Allotment]:
    """By pool id. Pools without a draft get nothing and lose nothing."""
    slugs = {pool.pk: pool.slug for pool in pools}
    held = [*_of_rows(rows, sight, drafts, slugs, capacity)]
    held += _of_nobody(sight, capacity, known={one.worker for one in held})
    placement = place(capacity, held, [_wish(draft) for draft in drafts])
    holders = _holders(held, placement)
    priorities = {draft.pool.slug: draft.pool.priority for draft in drafts}
    result = {}
    for draft in drafts:
        slug, grant = draft.pool.slug, placement.grants[draft.pool.slug]
        short = ""
        if grant.waits or grant.refused:
            others = [Holder(pool, part) for pool, part in placement.parts if pool != slug]
            room = _room_for(slug, placement)
            short = shortage(need_of(draft.recipe), capacity=capacity, room=room, holders=[*holders, *others])
        gains = [one for one in placement.evictions if one.to == slug]
        losses = [one for one in placement.evictions if one.pool == slug]
        result[draft.pool.pk] = Allotment(
            places=tuple(grant.starts),
            more_come=grant.waits > 0,
            more_fit=not losses and short_of(placement.room, need_of(draft.recipe)) is None,
            refused=grant.refused > 0,
            note=" ".join(filter(None, (short, _gain(grant, gains), _kept(slug, placement)))),
            evictions=tuple(Drain(one.worker, f"Pool {one.to} of higher priority needs its place.") for one in losses),
            loss=_loss(losses, priorities),
            spared=_spared(draft, grant, drafts),
        )
    return result


def need_of(recipe: Recipe) -> Need:
    """What one worker takes that is made from it."""
    return Need(recipe.gpus_per_worker, share=thousandths(recipe.gpu_share), cpus=recipe.cpus_per_worker)


def would_follow(worker: Worker, recipe: Recipe) -> bool:
    """Whether a worker that is made from it fits where this one was."""
    left = Room(dict.fromkeys(worker.gpus, thousandths(worker.gpu_share)), worker.cpus, workers=1)
    return short_of(left, need_of(recipe)) is None


def thousandths(share: float) -> int:
    """A part of a device as placement counts it: never more than it is, so that six of 0.1666 fit."""
    return int(share * WHOLE + 1e-6)


def _wish(draft: Draft) -> Wish:
    return Wish(
        draft.pool.slug,
        need_of(draft.recipe),
        starts=sum(isinstance(action, Start) for action in draft.plan.actions),
        priority=draft.pool.priority,
        floor=draft.floor,
        evicts=not draft.spares,
        keeps=draft.keeps and not draft.spares,
    )


def _of_rows(
    rows: Iterable[Worker], sight: Sight, drafts: Iterable[Draft], slugs: Mapping[Any, str], capacity: Capacity
) -> Iterable[Held]:
    going = {action.worker for draft in drafts for action in draft.plan.actions if isinstance(action, Drain | Kill)}
    views = {one.view.id: one.view for draft in drafts for one in draft.observed}
    for row in rows:
        if row.state not in Worker.LIVE:
            continue
        worker = str(row.pk)
        devices = _of(capacity, gpus_of(row, sight.instances.get(worker), capacity.names))
        yield Held(
            worker,
            slugs.get(row.pool_id, ""),
            Taken(devices, thousandths(row.gpu_share), row.cpus),
            leaving=row.state == Worker.State.DRAINING or worker in going,
            felt=felt_least(views[worker]) if worker in views else (),
        )


def _of_nobody(sight: Sight, capacity: Capacity, *, known: set[str]) -> Iterable[Held]:
    """Those without a live row are asked to end; until then they have their devices whole."""
    for worker, instance in sight.instances.items():
        if instance.alive and worker not in known:
            yield Held(worker, "", Taken(_of(capacity, settled(instance.gpus, capacity.names))), leaving=True)


def _of(capacity: Capacity, names: Iterable[str]) -> tuple[str, ...]:
    """The host's devices that are held by these names; by one that nobody can place, all that it may be."""
    return tuple(dict.fromkeys(device for name in names for device in may_be(name, capacity.devices)))


def _room_for(slug: str, placement: Placement) -> Room:
    """What is left, with what is kept for the pool until it is enough."""
    room = placement.room.copy()
    for pool, part in placement.parts:
        if pool == slug:
            room.release(part)
    return room


def _holders(held: Iterable[Held], placement: Placement) -> list[Holder]:
    there = [Holder(one.pool, one.taken) for one in held]
    there += [Holder(pool, taken) for pool, grant in placement.grants.items() for taken in grant.starts]
    had = {device for one in there for device in one.taken.devices}
    # What is kept for one that is to come counts as its pool's where nobody has it any more.
    return there + [
        Holder(pool, replace(taken, devices=tuple(device for device in taken.devices if device not in had)))
        for pool, taken in placement.kept
    ]


def _gain(grant: Grant, gains: Sequence[Eviction]) -> str:
    if gains:
        pools = " and ".join(sorted({one.pool for one in gains}))
        return f"{counted(len(gains), 'worker')} of lower priority (pool {pools}) {_hands(gains)} over for it."
    return "It waits for workers that are leaving." if grant.waits else ""


def _kept(slug: str, placement: Placement) -> str:
    if any(pool == slug for pool, _ in placement.parts):
        return f"What is free of that is kept for it until it is enough, for {seconds(KEPT_S)} at a time."
    return ""


def _spared(draft: Draft, grant: Grant, drafts: Iterable[Draft]) -> str:
    lower = any(one.pool.priority < draft.pool.priority and one.floor is not None for one in drafts)
    return draft.spares if grant.refused and lower else ""


def _loss(losses: Sequence[Eviction], priorities: Mapping[str, int]) -> str:
    if not losses:
        return ""
    own = priorities[losses[0].pool]
    takers = " and ".join(f"{pool} ({priorities[pool]} over {own})" for pool in sorted({one.to for one in losses}))
    return f"{counted(len(losses), 'worker')} {_hands(losses)} over to what comes first by priority: pool {takers}."


def _hands(those: Sequence[Eviction]) -> str:
    return "hands" if len(those) == 1 else "hand"
