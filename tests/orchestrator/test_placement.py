"""Placement as tables, and what must hold for any fleet."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.placement.packing import WHOLE, Capacity, Need, Room, Taken, fit, short_of
from orchestrator.placement.patience import keeps
from orchestrator.placement.place import Placement, Wish, place
from orchestrator.placement.preemption import Held

FOUR = Capacity(("0", "1", "2", "3"), cpus=8, workers=32)
ONE, TWO, HALF = Need(1), Need(2), Need(1, share=500)


def on(worker: str, pool: str, *devices: str, share: int = WHOLE, running: int = 0, leaving: bool = False) -> Held:
    return Held(worker, pool, Taken(devices, share), leaving, (1, running, 0.0))


def devices(placement: Placement, pool: str) -> list[tuple[str, ...]]:
    return [taken.devices for taken in placement.grants[pool].starts]


def evicted(placement: Placement) -> list[tuple[str, str]]:
    return [(one.worker, one.to) for one in placement.evictions]


def test_shares_fill_a_device_before_they_break_another() -> None:
    held = [on("w", "a", "1", share=500), on("v", "a", "2", share=300)]
    placement = place(FOUR, held, [Wish("a", HALF, 2)])
    assert devices(placement, "a") == [("1",), ("2",)]
    assert devices(place(FOUR, held, [Wish("b", TWO, 2)]), "b") == [("0", "3")]


def test_a_device_that_is_gone_is_not_given_out_and_its_worker_is_left_alone() -> None:
    without = replace(FOUR, devices=("0", "2"))
    placement = place(without, [on("w", "low", "1")], [Wish("a", ONE, 3, priority=9), Wish("low", ONE)])
    assert devices(placement, "a") == [("0",), ("2",)]
    assert (placement.grants["a"].refused, placement.evictions) == (1, ())


def test_equals_come_to_equal_shares_and_take_nothing_from_each_other() -> None:
    held = [on("w0", "a", "0"), on("w1", "a", "1")]
    placement = place(FOUR, held, [Wish("a", ONE, 2), Wish("b", ONE, 2), Wish("c", ONE, 0)])
    assert devices(placement, "b") == [("2",), ("3",)]
    assert placement.grants["a"].refused == 2
    full = [on(f"w{number}", "a", str(number)) for number in range(4)]
    assert place(FOUR, full, [Wish("a", ONE), Wish("b", ONE, 1)]).evictions == ()


def test_priority_stands_over_fair_share() -> None:
    placement = place(FOUR, [on("w", "high", "0")], [Wish("high", ONE, 3, priority=1), Wish("low", ONE, 3)])
    assert len(devices(placement, "high")) == 3
    assert placement.grants["low"].refused == 3


def test_a_lower_pool_s_worker_hands_over_and_is_asked_once() -> None:
    held = [on("busy", "low", "0", running=4), on("idle", "low", "1"), on("x", "other", "2"), on("y", "other", "3")]
    wishes = [Wish("high", ONE, 1, priority=5), Wish("low", ONE), Wish("other", ONE, priority=5)]
    placement = place(FOUR, held, wishes)
    assert evicted(placement) == [("idle", "high")]
    assert (placement.grants["high"].waits, devices(placement, "high")) == (1, [])
    held[1] = replace(held[1], leaving=True)
    # Its own pool wants it back: the higher one waits for it, and nobody else is asked.
    again = place(FOUR, held, [*wishes[:1], Wish("low", ONE, 1), wishes[2]])
    assert (again.evictions, again.grants["high"].waits, again.grants["low"].refused) == ((), 1, 1)
    assert devices(place(FOUR, [held[0], *held[2:]], [*wishes[:1], Wish("low", ONE, 1)]), "high") == [("1",)]


def test_a_pool_keeps_its_minimum_and_a_paused_one_all() -> None:
    held = [on("a", "low", "0"), on("b", "low", "1"), on("c", "paused", "2"), on("d", "nobody knows", "3")]
    wishes = [Wish("high", ONE, 4, priority=1), Wish("low", ONE, floor=1), Wish("paused", ONE, floor=None)]
    placement = place(FOUR, held, wishes)
    assert evicted(placement) == [("a", "high")]
    assert placement.grants["high"].refused == 3


def test_for_a_pool_whose_starts_fail_nobody_hands_over_but_what_is_free_or_leaves_is_its_own() -> None:
    held = [on("w", "low", "0"), on("goes", "low", "1", leaving=True), on("x", "other", "2")]
    fails = Wish("high", ONE, 3, priority=5, evicts=False)
    placement = place(FOUR, held, [fails, Wish("low", ONE, 1), Wish("other", ONE)])
    assert devices(placement, "high") == [("3",)]
    assert (placement.grants["high"].waits, placement.grants["high"].refused, placement.evictions) == (1, 1, ())
    assert devices(place(FOUR, held, [replace(fails, starts=0), Wish("low", ONE, 1)]), "low") == [("3",)]


def test_what_is_free_is_kept_for_who_has_least_and_needs_more_than_that() -> None:
    """Workers of small pools end one after the other, and their pools want them back at once."""
    small = [Wish(f"small {number}", ONE, 1) for number in range(4)]

    def in_turn(wide: Wish) -> list[Placement]:
        there = [on(f"w{number}", f"small {number}", str(number)) for number in range(4)]
        seen = []
        for number in range(4):
            there = [one for one in there if one.worker != f"w{number}"]
            seen.append(place(FOUR, there, [wide, *small]))
            there = after(there, seen[-1])
        return seen

    assert [devices(one, "wide") for one in in_turn(Wish("wide", TWO, 1))] == [[]] * 4
    first, second, *_ = in_turn(Wish("wide", TWO, 1, keeps=True))
    assert (first.parts, first.grants["wide"].refused) == ((("wide", Taken(("0",))),), 1)
    assert devices(second, "wide") == [("0", "1")]


def test_parts_of_gpus_and_cores_are_kept_too_but_not_what_never_is_enough() -> None:
    capacity = Capacity(("0", "1"), cpus=4, workers=9)
    held = [on("w", "a", "0", share=500), on("v", "a", "1", share=300)]
    whole = place(capacity, held, [Wish("whole", Need(1, cpus=2), 1, keeps=True), Wish("a", HALF, 1)])
    assert whole.parts == (("whole", Taken(("1",), 700)), ("whole", Taken(cpus=2)))
    assert devices(whole, "a") == [("0",)]
    never = place(capacity, [on("w", "a", "0")], [Wish("never", Need(3), 1, keeps=True), Wish("a", ONE, 1)])
    assert (never.parts, devices(never, "a")) == ((), [("1",)])


def test_it_is_kept_for_a_while_and_given_to_others_for_a_while() -> None:
    assert [keeps(since, now=1000.0) for since in (None, 1000.0, 701.0, 700.0, 401.0, 400.0)] == [
        True, True, True, False, False, True,
    ]  # fmt: skip


def test_tensor_parallel_workers_get_the_devices_that_cost_least_to_clear() -> None:
    held = [
        on("busy", "low", "0", running=9),
        on("half", "low", "1", share=500),
        on("half busy", "low", "1", share=500, running=1),
        on("idle", "low", "2"),
        on("lowest", "lowest", "3", running=50),
    ]
    wishes = [Wish("high", TWO, 1, priority=2), Wish("low", ONE, priority=1), Wish("lowest", ONE)]
    assert {worker for worker, _ in evicted(place(FOUR, held, wishes))} == {"lowest", "idle"}


def test_who_need_not_go_stays() -> None:
    held = [on("small", "low", "0", share=300), on("large", "low", "0", share=700, running=5)]
    wishes = [Wish("high", Need(1, share=700), 1, priority=1), Wish("low", Need(1, share=300))]
    assert evicted(place(Capacity(("0",), cpus=0, workers=9), held, wishes)) == [("large", "high")]


def test_cores_and_places_are_given_once_too() -> None:
    capacity = Capacity((), cpus=5, workers=3)
    placement = place(capacity, [Held("w", "a", Taken(cpus=2))], [Wish("a", Need(cpus=2), 2), Wish("b", Need(), 9)])
    assert len(placement.grants["a"].starts) + len(placement.grants["b"].starts) == 2
    full = place(Capacity((), cpus=2, workers=9), [Held("w", "a", Taken(cpus=2))], [Wish("a", Need(cpus=2), 1)])
    assert full.grants["a"].refused == 1
    higher = [Wish("a", Need(cpus=2)), Wish("b", Need(cpus=1), 1, priority=1)]
    assert evicted(place(Capacity((), cpus=2, workers=9), [Held("w", "a", Taken(cpus=2))], higher)) == [("w", "b")]


# -- for any fleet -------------------------------------------------------------------------------
NAMES = ("a", "b", "c", "d")
some, many = settings(deadline=None), settings(deadline=None, max_examples=300)
needs = st.one_of(
    st.builds(Need, gpus=st.integers(1, 3), cpus=st.integers(0, 2)),
    st.builds(Need, gpus=st.just(1), share=st.sampled_from([250, 300, 500, 700])),
    st.builds(Need, cpus=st.integers(0, 3)),
)


@st.composite
def worlds(draw: st.DrawFn, *, floors: bool = True) -> tuple[Capacity, list[Held], list[Wish]]:
    """A host, and pools whose workers were once placed on it."""
    capacity = Capacity(
        tuple(str(number) for number in range(draw(st.integers(0, 5)))),
        cpus=draw(st.integers(0, 8)),
        workers=draw(st.integers(0, 12)),
    )
    wishes = [
        Wish(
            pool,
            draw(needs),
            starts=draw(st.integers(0, 4)),
            priority=draw(st.integers(0, 2)),
            floor=draw(st.sampled_from([None, 0, 1, 2])) if floors else 0,
            evicts=draw(st.booleans()) if floors else True,
            keeps=draw(st.booleans()),
        )
        for pool in NAMES[: draw(st.integers(1, 4))]
    ]
    room, held = Room.of(capacity), list[Held]()
    for number in range(draw(st.integers(0, 8))):
        wish = draw(st.sampled_from(wishes))
        if (taken := fit(room, wish.need)) is not None:
            room.take(taken)
            felt = (draw(st.integers(0, 1)), draw(st.integers(0, 3)), 0.0)
            held.append(Held(f"w{number}", wish.pool, taken, draw(st.booleans()), felt))
    return capacity, held, wishes


def after(held: list[Held], placement: Placement) -> list[Held]:
    """The fleet once the placement was carried out."""
    going = {one.worker for one in placement.evictions}
    started = [
        Held(f"new {pool} {number} {len(held)}", pool, taken, felt=(0, 0, 0.0))
        for pool, grant in placement.grants.items()
        for number, taken in enumerate(grant.starts)
    ]
    return [replace(one, leaving=one.leaving or one.worker in going) for one in held] + started


def still(wishes: list[Wish], placement: Placement) -> list[Wish]:
    return [replace(wish, starts=wish.starts - len(placement.grants[wish.pool].starts)) for wish in wishes]


def free_in(capacity: Capacity, held: list[Held], *, leaving: bool = False) -> Room:
    """What is free; with `leaving`, once those have gone."""
    room = Room.of(capacity)
    for one in held:
        if not (leaving and one.leaving):
            room.take(one.taken)
    return room


@some
@given(worlds())
def test_nothing_is_ever_given_twice(world: tuple[Capacity, list[Held], list[Wish]]) -> None:
    capacity, held, wishes = world
    placement = place(capacity, held, wishes)
    room = free_in(capacity, after(held, placement))
    assert min([room.cpus, room.workers, *room.devices.values()]) >= 0
    for wish in wishes:
        grant = placement.grants[wish.pool]
        assert len(grant.starts) + grant.waits + grant.refused == wish.starts
        for taken in grant.starts:
            assert len(set(taken.devices)) == wish.need.gpus
            assert taken.cpus == wish.need.cpus


@some
@given(worlds())
def test_only_the_spare_workers_of_lower_pools_are_asked_and_all_of_them_are_needed(
    world: tuple[Capacity, list[Held], list[Wish]],
) -> None:
    capacity, held, wishes = world
    placement = place(capacity, held, wishes)
    wish_of, holder = {wish.pool: wish for wish in wishes}, {one.worker: one for one in held}
    for one in placement.evictions:
        victim = holder[one.worker]
        assert not victim.leaving
        assert wish_of[victim.pool].priority < wish_of[one.to].priority
        assert wish_of[one.to].evicts
        # Had it stayed, too much would be promised.
        promised = [Held("", pool, taken) for pool, taken in (*placement.kept, *placement.parts)]
        others = [other for other in after(held, placement) if other.worker != victim.worker]
        room = free_in(capacity, [victim, *others, *promised], leaving=True)
        assert min([room.cpus, room.workers, *room.devices.values()]) < 0
    for wish in wishes:
        staying = sum(one.pool == wish.pool and not one.leaving for one in held)
        taken = sum(one.pool == wish.pool for one in placement.evictions)
        assert taken == 0 or (wish.floor is not None and staying - taken >= wish.floor)


@some
@given(worlds(floors=False))
def test_a_higher_pool_is_not_refused_what_lower_ones_hold(world: tuple[Capacity, list[Held], list[Wish]]) -> None:
    capacity, held, wishes = world
    placement = place(capacity, held, wishes)
    then = after(held, placement)
    kept = [
        Held(f"kept {number}", pool, taken) for number, (pool, taken) in enumerate((*placement.kept, *placement.parts))
    ]
    priority = {wish.pool: wish.priority for wish in wishes}
    for wish in wishes:
        if placement.grants[wish.pool].refused:
            at_least = [one for one in [*then, *kept] if priority[one.pool] >= wish.priority]
            assert short_of(free_in(capacity, at_least, leaving=True), wish.need) is not None


@many
@given(worlds(floors=False))
def test_a_second_look_at_its_own_result_changes_nothing(world: tuple[Capacity, list[Held], list[Wish]]) -> None:
    capacity, held, wishes = world
    first = place(capacity, held, wishes)
    second = place(capacity, after(held, first), still(wishes, first))
    assert second.evictions == ()
    assert all(not grant.starts for grant in second.grants.values())


@many
@given(worlds())
def test_what_has_just_started_is_not_asked_to_leave(world: tuple[Capacity, list[Held], list[Wish]]) -> None:
    """Left to itself it comes to rest, whatever the floors are."""
    capacity, held, wishes = world
    for _ in range(4):
        placement = place(capacity, held, wishes)
        assert not [one for one in placement.evictions if one.worker.startswith("new")]
        held, wishes = [one for one in after(held, placement) if not one.leaving], still(wishes, placement)
    settled = place(capacity, held, wishes)
    assert settled.evictions == ()
    assert all(not grant.starts for grant in settled.grants.values())


@some
@given(
    st.dictionaries(st.sampled_from("01234"), st.sampled_from([0, 250, 500, 700, WHOLE])),
    st.sampled_from([250, 500, 700]),
)
def test_a_share_goes_where_most_devices_stay_whole(free: dict[str, int], share: int) -> None:
    room = Room(dict(sorted(free.items())), 0, 9)
    taken = fit(room, Need(1, share=share))
    assert (taken is None) == (max(free.values(), default=0) < share)
    if taken is not None:
        best = max(
            sum(left == WHOLE for name, left in free.items() if name != other) for other in free if free[other] >= share
        )
        assert sum(left == WHOLE for name, left in free.items() if name != taken.devices[0]) == best
