"""One GPU has several names: whatever a worker was given it by, nobody else is given it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pytest
from django.utils import timezone
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from orchestrator import records
from orchestrator.allotment import allot
from orchestrator.fleet import Sight
from orchestrator.holdings import gpus_of, write_down
from orchestrator.host import Host
from orchestrator.local import host_of_settings
from orchestrator.loop import Orchestrator
from orchestrator.models import Pool, Worker
from orchestrator.placement.gpus import Device, declared, read, unread
from orchestrator.placement.identity import UNKNOWN, may_be, settled
from orchestrator.placement.packing import Capacity, Taken
from orchestrator.revisions import note_edit
from orchestrator.runtimes import Instance
from orchestrator.runtimes.inventory import Inventory
from orchestrator.runtimes.proc import environment
from tests.orchestrator.conftest import Site, wait_for
from tests.orchestrator.test_allotment import draft, pool, worker

BY_UUID = Capacity(("GPU-a", "GPU-b"), workers=9, names={"0": "GPU-a", "1": "GPU-b", "GPU-a": "GPU-a"})


def left(capacity: Capacity, *rows: Worker, sight: Sight | None = None) -> list[tuple[str, ...]]:
    """The devices that a pool is given which would like all of them."""
    of = pool("asks")
    got = allot(capacity, sight or Sight(), pools=[of], rows=rows, drafts=[draft(of, starts=9)])
    return [taken.devices for taken in got[of.pk].places]


@pytest.mark.parametrize(
    ("name", "devices", "meant"),
    [
        ("GPU-a", ("GPU-a", "GPU-b"), ("GPU-a",)),
        ("GPU-c", ("GPU-a", "GPU-b"), ()),
        ("2", ("0", "1"), ()),
        ("2", ("GPU-a", "GPU-b"), ("GPU-a", "GPU-b")),
        ("GPU-a", ("0", "1"), ("0", "1")),
        ("GPU-8932", ("GPU-8932f937", "GPU-8933"), ("GPU-8932f937",)),
        ("MIG-a", ("0", "GPU-a"), ("0",)),
        (UNKNOWN, ("0", "GPU-a"), ("0", "GPU-a")),
        ("-1", ("0", "GPU-a"), ()),
    ],
)
def test_what_cannot_be_told_apart_may_be_the_same(name: str, devices: tuple[str, ...], meant: tuple[str, ...]) -> None:
    assert may_be(name, devices) == meant


def test_rows_that_name_indices_hold_the_uuids() -> None:
    assert left(BY_UUID, worker(pool("a"), "0")) == [("GPU-b",)]
    labelled = Instance(ref="r", worker="nobody's", pool="gone", alive=True, started_at=0.0, gpus=("1",))
    assert left(BY_UUID, sight=Sight({"nobody's": labelled})) == [("GPU-a",)]


def test_a_setting_that_changed_its_kind_gives_nothing_out_until_the_old_names_are_gone() -> None:
    """No driver says which is which."""
    row = worker(pool("a"), "0")
    assert left(Capacity(("GPU-a", "GPU-b"), workers=9), row) == []
    assert left(Capacity(("0", "1"), workers=9), worker(pool("a"), "GPU-b")) == []
    row.state = "stopped"
    assert len(left(Capacity(("GPU-a", "GPU-b"), workers=9), row)) == 2


def test_a_worker_whose_devices_nobody_recorded_holds_all_until_its_runtime_says_which() -> None:
    row = worker(pool("a"), UNKNOWN)
    assert left(BY_UUID, row) == []
    seen = Instance(ref="r", worker=str(row.pk), pool="a", alive=True, started_at=0.0, gpus=("1",))
    assert left(BY_UUID, row, sight=Sight({str(row.pk): seen})) == [("GPU-a",)]
    none = Instance(ref="r", worker=str(row.pk), pool="a", alive=True, started_at=0.0)
    assert len(left(BY_UUID, row, sight=Sight({str(row.pk): none}))) == 2


def test_a_row_is_brought_to_the_uuid_once_and_an_index_that_moved_says_nothing_more(site: Site) -> None:
    of = site.pool(gpus_per_worker=1)
    revision = note_edit(of.pk, now=timezone.now()).current
    row = records.new_worker(of, revision, reason="r", now=0.0, taken=Taken(("1",)))
    label = Instance(ref="r", worker=str(row.pk), pool="a", alive=True, started_at=0.0, gpus=("1",))
    sight = Sight({str(row.pk): label})
    write_down([row], sight, {"0": "GPU-a", "1": "GPU-b"})
    again = Worker.objects.get(pk=row.pk)
    assert again.gpus == ["GPU-b"]
    write_down([again], sight, {"0": "GPU-b", "1": "GPU-c"})  # a restart, and GPU-a is gone
    assert Worker.objects.get(pk=row.pk).gpus == ["GPU-b"]
    assert gpus_of(again, label, {"1": "GPU-c"}) == ("GPU-b",)


@contextmanager
def leading(inventory: Inventory) -> Iterator[None]:
    """An orchestrator on a thread whose host has these GPUs."""

    def host(*, confirm: Callable[[], None]) -> Host:
        return replace(host_of_settings(confirm=confirm), inventory=inventory)

    stop = threading.Event()
    thread = threading.Thread(target=Orchestrator(tick_s=0.1, make_host=host).run, args=(stop,), name="orchestrator")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)


def test_workers_are_given_uuids_and_keep_them_over_restarts_with_other_names(site: Site) -> None:
    found = (Device("0", 1, "", "GPU-a"), Device("1", 1, "", "GPU-b"))
    moved = (Device("0", 1, "", "GPU-b"), Device("1", 1, "", "GPU-a"))

    def sees(of: Pool) -> list[str]:
        return [environment(site.pids()[str(row.pk)])["CUDA_VISIBLE_DEVICES"] for row in site.ready(of)]

    first = site.pool(gpus_per_worker=1, policy={"min_workers": 1, "max_workers": 1})
    with leading(Inventory(None, find=lambda: found)):
        wait_for(lambda: site.ready(first), what="one has a GPU")
    (row,) = site.ready(first)
    assert [row.gpus] == [sees(first)] == [["GPU-a"]]
    second = site.pool(gpus_per_worker=1, policy={"min_workers": 1, "max_workers": 1})
    with leading(Inventory("0,1", find=lambda: None)):  # nobody can say which of them the first one has
        held = f"No GPU is free: 2 of 2 are held by pool {first.slug} (2)."
        wait_for(lambda: any(held in reason for reason in site.reasons(second)), what="it is refused")
        assert not site.live(second)
    with leading(Inventory("1,0", find=lambda: moved)):
        wait_for(lambda: site.ready(second), what="the other has the other GPU")
    assert (sees(first), sees(second)) == (["GPU-a"], ["GPU-b"])
    assert site.ready(first) == [row]


# -- under any sequence --------------------------------------------------------------------------
GPUS = ("GPU-a", "GPU-b", "GPU-c", "GPU-d")
KINDS = ("all", "by index", "by uuid")


@dataclass(slots=True)
class Given:
    """A worker that lives: what its row says, and which GPUs it really sees."""

    row: Worker
    sees: frozenset[str]
    by_uuid: bool


class Renamed(RuleBasedStateMachine):
    """Restarts with another setting, a driver that is silent, GPUs that are lost and come back, in any order."""

    @initialize(kind=st.sampled_from(KINDS), silent=st.booleans())
    def begin(self, kind: str, silent: bool) -> None:
        self.order = list(GPUS)  # as the driver counts them now
        self.workers: list[Given] = []
        self.restart(kind, silent)

    @rule(kind=st.sampled_from(KINDS), silent=st.booleans())
    def restart(self, kind: str, silent: bool) -> None:
        names = [str(number) for number in range(len(self.order))] if kind == "by index" else self.order[1:]
        self.setting = None if kind == "all" else declared(",".join(names))
        self.reading = unread(self.setting)
        if not silent:
            self.driver_answers()

    @rule()
    def driver_answers(self) -> None:
        found = [Device(str(number), 1, "", uuid) for number, uuid in enumerate(self.order)]
        self.reading = read(self.reading, self.setting, found)
        self._tick(0)

    @precondition(lambda self: self.order and all(one.by_uuid for one in self.workers))
    @rule(data=st.data())
    def one_is_lost(self, data: st.DataObject) -> None:
        """Not while an index is all that is known of what a worker holds: docs/architecture.md says so."""
        self.order.remove(data.draw(st.sampled_from(self.order)))
        self.driver_answers()

    @precondition(lambda self: len(self.order) < len(GPUS) and all(one.by_uuid for one in self.workers))
    @rule(first=st.booleans())
    def one_comes_back(self, first: bool) -> None:
        gone = next(uuid for uuid in GPUS if uuid not in self.order)
        self.order.insert(0 if first else len(self.order), gone)
        self.driver_answers()

    @rule(starts=st.integers(1, 3), gpus=st.integers(1, 2))
    def start(self, starts: int, gpus: int) -> None:
        self._tick(starts, gpus)

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def one_ends(self, data: st.DataObject) -> None:
        self.workers.remove(data.draw(st.sampled_from(self.workers)))

    def _tick(self, starts: int, gpus: int = 1) -> None:
        capacity = Capacity(
            tuple(device.identity for device in self.reading.devices), workers=9, names=self.reading.names
        )
        for one in self.workers:
            one.row.gpus = list(settled(one.row.gpus, capacity.names))
            one.by_uuid = not any(name.isdigit() for name in one.row.gpus)
        of = Pool(slug="p", gpus_per_worker=gpus)
        rows = [one.row for one in self.workers]
        got = allot(capacity, Sight(), pools=[of], rows=rows, drafts=[draft(of, starts=starts)])
        for taken in got[of.pk].places:
            by_uuid = not any(name.isdigit() for name in taken.devices)
            self.workers.append(Given(worker(of, *taken.devices), self._seen(taken.devices), by_uuid))

    def _seen(self, names: tuple[str, ...]) -> frozenset[str]:
        """As CUDA resolves them; of what is not there a worker sees nothing."""
        index = dict(enumerate(self.order))
        real = {index.get(int(name)) if name.isdigit() else name for name in names}
        return frozenset(name for name in real if name in self.order)

    @invariant()
    def nobody_sees_what_another_sees(self) -> None:
        seen = [gpu for one in getattr(self, "workers", ()) for gpu in one.sees]
        assert len(seen) == len(set(seen))


Renamed.TestCase.settings = settings(deadline=None, max_examples=60, stateful_step_count=20)
test_under_any_sequence_of_names_no_gpu_is_given_twice = Renamed.TestCase
