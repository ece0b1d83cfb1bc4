"""From rows, labels and drafts to one placement: what is counted as held, and what the pools are told."""

from __future__ import annotations

from dataclasses import replace

from django.utils import timezone

from orchestrator.allotment import Allotment, Draft, allot, thousandths, would_follow
from orchestrator.backoff import Backoff
from orchestrator.fleet import Sight
from orchestrator.models import Pool, Worker
from orchestrator.placement.packing import Capacity, Taken
from orchestrator.plan import Drain, Plan, Start, WorkerView, sparing
from orchestrator.runtimes import Instance
from orchestrator.watch import Observed

TWO = Capacity(("0", "1"), cpus=8, workers=9)


def pool(slug: str, **fields: object) -> Pool:
    return Pool(slug=slug, gpus_per_worker=1, **fields)


def worker(of: Pool, *gpus: str, state: str = "ready") -> Worker:
    return Worker(pool=of, gpus=list(gpus), state=state, runtime="process", slots=1, started_at=timezone.now())


def draft(of: Pool, *rows: Worker, starts: int = 0, drains: tuple[Worker, ...] = (), floor: int | None = 0) -> Draft:
    observed = [Observed(row, WorkerView(str(row.pk), "ready", 0.0)) for row in rows]
    actions = [*(Start("more") for _ in range(starts)), *(Drain(str(row.pk), "fewer") for row in drains)]
    return Draft(of, of, observed, Plan(tuple(actions)), floor)


def alloted(*drafts: Draft, sight: Sight | None = None, also: tuple[Worker, ...] = ()) -> dict[str, Allotment]:
    rows = [*(one.row for part in drafts for one in part.observed), *also]
    got = allot(TWO, sight or Sight(), pools=[part.pool for part in drafts], rows=rows, drafts=drafts)
    return {part.pool.slug: got[part.pool.pk] for part in drafts}


def test_rows_and_labels_hold_devices_and_so_does_what_nobody_knows() -> None:
    a = pool("a")
    seen = Instance(ref="r", worker="nobody's", pool="gone", alive=True, started_at=0.0, gpus=("1",))
    sight = Sight({"nobody's": seen})
    got = alloted(draft(a, worker(a, "0"), starts=1), sight=sight)["a"]
    assert got.places == ()
    assert got.note == (
        "No GPU is free: 2 of 2 are held by pool a (1) and workers of no pool (1). It waits for workers that are leaving."
    )
    # The row alone is enough: its runtime may not answer now. So is the label: the row may be older than its column.
    assert alloted(draft(a, starts=2), also=(worker(a, "0"),))["a"].places == (Taken(("1",)),)
    row = worker(a)
    labelled = Sight(
        {str(row.pk): Instance(ref="r", worker=str(row.pk), pool="a", alive=True, started_at=0.0, gpus=("0",))}
    )
    assert alloted(draft(a, row, starts=2), sight=labelled)["a"].places == (Taken(("1",)),)


def test_parts_of_a_gpu_that_make_up_no_more_than_one_fit_on_it() -> None:
    one = Capacity(("0",), workers=9)
    for share, most in ((1 / 6, 6), (0.1666, 6), (0.29, 3), (0.5, 2), (1.0, 1)):
        of = Pool(slug="a", gpus_per_worker=1, gpu_share=share)
        got = allot(one, Sight(), pools=[of], rows=[], drafts=[draft(of, starts=9)])[of.pk].places
        assert len(got) == most
        assert {thousandths(taken.share / 1000) for taken in got} == {got[0].share}  # as a row keeps it


def test_an_ended_worker_holds_nothing() -> None:
    a = pool("a")
    assert len(alloted(draft(a, starts=2), also=(worker(a, "0", state="failed"),))["a"].places) == 2


def test_both_pools_are_told_of_a_preemption() -> None:
    low, high = pool("low"), pool("high", priority=7)
    rows = [worker(low, "0"), worker(low, "1")]
    got = alloted(draft(low, *rows), draft(high, starts=1))
    assert got["high"].note == (
        "No GPU is free: 2 of 2 are held by pool low (2). 1 worker of lower priority (pool low) hands over for it."
    )
    (drain,) = got["low"].evictions
    assert drain.worker in {str(row.pk) for row in rows}
    todo = got["low"].carried_out(Plan((), "Said before."))
    assert todo.actions == (drain,)
    assert todo.note == "Said before."
    assert got["low"].loss == "1 worker hands over to what comes first by priority: pool high (7 over 0)."


def test_who_leaves_anyway_is_waited_for_and_a_paused_pool_is_left_alone() -> None:
    low, high = pool("low"), pool("high", priority=7)
    rows = (worker(low, "0"), worker(low, "1"))
    got = alloted(draft(low, *rows, drains=rows[:1]), draft(high, starts=1))
    assert got["low"].evictions == ()
    assert got["high"].note.endswith("It waits for workers that are leaving.")
    got = alloted(draft(low, *rows, floor=None), draft(high, starts=1))
    assert got["low"].evictions == ()
    assert got["high"].note == "No GPU is free: 2 of 2 are held by pool low (2)."


def test_whose_last_start_failed_is_told_that_nobody_hands_over() -> None:
    low, high = pool("low"), pool("high", priority=7)
    backoff = Backoff(2, failed_at=100.0, until=102.0, error="e")
    spares = sparing(backoff, now=103.0)
    rows = (worker(low, "0"), worker(low, "1"))
    asks = replace(draft(high, starts=1), spares=spares)
    got = alloted(draft(low, *rows), asks)
    assert got["low"].evictions == ()
    assert got["high"].note == "No GPU is free: 2 of 2 are held by pool low (2)."
    assert (
        got["high"].spared
        == spares
        == (
            "Its last start failed: until one holds, or 01:01:40 UTC, it takes only what is free, and nobody hands over for it."
        )
    )
    assert alloted(draft(low, *rows, floor=None), asks)["high"].spared == ""
    assert sparing(backoff, now=3700.0) == ""  # it may have been mended
    assert sparing(Backoff(), now=103.0) == ""


def test_a_pool_that_hands_over_is_promised_no_worker_in_that_tick() -> None:
    """Half of a GPU is free for it, but the next tick says whether it gets that."""
    low, other = Pool(slug="low", gpus_per_worker=1, gpu_share=0.5), pool("other", priority=7)
    high = pool("high", priority=7)
    rows = [worker(low, "0"), worker(other, "1")]
    for row in rows:
        row.gpu_share = 0.5
    got = alloted(draft(low, rows[0]), draft(other, rows[1]), draft(high, starts=1))
    assert [drain.worker for drain in got["low"].evictions] == [str(rows[0].pk)]
    assert not got["low"].more_fit
    assert alloted(draft(low, rows[0]), draft(other, rows[1]), draft(high))["low"].more_fit


def test_what_is_kept_for_a_pool_is_said_to_it_and_to_those_who_do_not_get_it() -> None:
    small, wide = pool("small"), Pool(slug="wide", gpus_per_worker=2)
    drafts = (draft(small, worker(small, "0"), starts=1), replace(draft(wide, starts=1), keeps=True))
    got = alloted(*drafts)
    assert got["small"].note == "No GPU is free: 2 of 2 are held by pools small (1) and wide (1)."
    assert got["wide"].note == (
        "A worker of this pool needs 2 GPUs; 1 of this host's 2 is free, the others are held by pool small (1). "
        "What is free of that is kept for it until it is enough, for 300 s at a time."
    )
    assert (got["wide"].refused, got["small"].refused) == (True, True)
    # Whose starts fail does not keep it from others.
    fails = replace(drafts[1], spares="Its last start failed.")
    assert alloted(drafts[0], fails)["small"].places == (Taken(("1",)),)


def test_a_successor_follows_where_it_takes_no_more() -> None:
    old = Worker(pool=pool("a"), gpus=["0"], gpu_share=0.5, cpus=2)
    for fields, expected in (
        ({}, True),
        ({"gpus_per_worker": 1, "gpu_share": 0.5, "cpus_per_worker": 2}, True),
        ({"gpus_per_worker": 1, "gpu_share": 0.6}, False),
        ({"gpus_per_worker": 2}, False),
        ({"cpus_per_worker": 3}, False),
    ):
        assert would_follow(old, Pool(**fields)) == expected, fields
