"""Pools that compete for devices that are made up by the setting: real workers, watched in their processes' environments."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import combinations

import msgspec
import pytest

from gpu_worker.engines.simulated_text import whole_answer
from orchestrator.models import Pool, ScalingPolicy, Worker
from orchestrator.runtimes.proc import environment, pids, start_ticks
from taskqueue.messages import SamplingParams, TurnBody
from tests.orchestrator.conftest import Site, wait_for


class Witness:
    """Looks at all worker processes of a stack, over and over, for two that have the same device at the same time."""

    def __init__(self, stack: str) -> None:
        self._stack = stack
        self.looks = 0
        self.doubled: set[frozenset[str]] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="witness")
        self._thread.start()

    def devices(self) -> dict[str, tuple[str, ...]]:
        """What each living worker sees of the GPUs, by its id."""
        return {worker: devices for worker, devices, _, _ in self._seen()}

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def _seen(self) -> list[tuple[str, tuple[str, ...], int, int]]:
        found = []
        for pid in pids():
            ticks, env = start_ticks(pid), environment(pid)
            if ticks and env.get("OPSITE_STACK") == self._stack and env.get("OPSITE_RUNTIME") == "process":
                devices = tuple(filter(None, env.get("CUDA_VISIBLE_DEVICES", "all").split(",")))
                found.append((env["OPSITE_WORKER_ID"], devices, pid, ticks))
        return found

    def _watch(self) -> None:
        while not self._stop.wait(0.02):
            seen = self._seen()
            # Who is still there now was there all the while: two of them were there together.
            there = [one for one in seen if start_ticks(one[2]) == one[3]]
            self.looks += 1
            self.doubled |= {
                frozenset((first[0], second[0]))
                for first, second in combinations(there, 2)
                if {*first[1]} & {*second[1]}
            }


@pytest.fixture
def witness(site: Site) -> Iterator[Witness]:
    witness = Witness(site.env["OPSITE_STACK"])
    yield witness
    witness.close()


def streamed(site: Site, pool: Pool, turn: str) -> str:
    """A task's text as its readers saw it; the events have all numbers from 1 on."""
    log = site.queue(pool).read_log(turn.replace("turn", "task"))
    assert [event.seq for event in log] == list(range(1, len(log) + 1))
    return "".join(msgspec.json.decode(event.data, type=str) for event in log if event.kind == "text")


def answer(tokens: int) -> str:
    """What an undisturbed worker says to the tests' prompt."""
    return whole_answer(TurnBody(prompt="hello", params=SamplingParams(max_tokens=tokens, ignore_eos=True))).text


def test_a_higher_pool_takes_a_lower_one_s_device_in_mid_stream_and_nothing_is_lost(
    site: Site, witness: Witness
) -> None:
    site.env["OPSITE_GPUS"] = "0:81920,1:81920"
    low = site.pool(gpus_per_worker=1, slots=4, policy={"min_workers": 1, "max_workers": 2, "waiting_per_worker": 1})
    high = site.pool(gpus_per_worker=1, priority=10, policy={"max_workers": 2, "idle_to_zero_s": 60.0})
    site.orchestrator()
    turns = site.submit(low, 6, tokens=600)  # twelve seconds
    wait_for(lambda: site.queue(low).signals().running == 6, what="the lower pool streams")
    wait_for(lambda: len(site.ready(low)) == 2, what="the lower pool has both devices")
    before = witness.devices()
    assert sorted(before.values()) == [("0",), ("1",)]

    urgent = site.submit(high, 12)  # worth two workers, but the lower pool keeps its minimum
    wait_for(lambda: len(site.finished(high)) == 12, what="the higher pool has served")
    assert set(site.finished(high)) == set(urgent)
    (taken,) = Worker.objects.filter(pool=high)
    assert [taken.gpus] in [[list(devices)] for devices in before.values()]
    assert len(site.live(low)) == 1
    wait_for(lambda: len(site.finished(low)) == 6, what="all turns of the lower pool have ended")

    assert {record.state for record in site.finished(low).values()} == {"succeeded"}
    assert max(record.attempt for record in site.finished(low).values()) == 2  # a worker was taken in mid-stream
    assert {streamed(site, low, turn) for turn in turns} == {answer(600)}
    victim = Worker.objects.get(pool=low, state="stopped")
    assert (victim.exit_code, victim.error) == (0, "")
    assert witness.looks > 20
    assert witness.doubled == set()
    assert any(
        f"No GPU is free: 2 of 2 are held by pool {low.slug} (2). "
        f"1 worker of lower priority (pool {low.slug}) hands over for it." in reason
        for reason in site.reasons(high)
    )
    handed = f"1 worker hands over to what comes first by priority: pool {high.slug} (10 over 0)."
    assert sum(handed in reason for reason in site.reasons(low)) == 1


def test_a_higher_pool_whose_starts_fail_takes_a_lower_one_s_device_once(site: Site) -> None:
    site.env["OPSITE_GPUS"] = "0"
    low = site.pool(gpus_per_worker=1, policy={"max_workers": 1, "idle_to_zero_s": 600.0})
    site.orchestrator()
    (turn,) = site.submit(low, 1, tokens=1500)  # half a minute
    wait_for(lambda: site.ready(low), what="the lower pool has the device")
    high = site.pool(
        gpus_per_worker=1,
        priority=10,
        env={"OPSITE_WORKER_PYTHON": "/bin/false"},
        policy={"min_workers": 1, "max_workers": 1},
    )
    again = "it takes only what is free, and nobody hands over for it."
    wait_for(lambda: any(again in reason for reason in site.reasons(high)), what="its next try takes nobody's place")
    wait_for(lambda: site.ready(low), what="the lower pool has it again")
    wait_for(lambda: turn in site.finished(low), what="its turn has ended")
    assert Worker.objects.filter(pool=low, state="stopped").count() == 1
    assert Worker.objects.filter(pool=high, state="failed").count() == 1


def test_shares_fill_one_device_and_whole_ones_stay_for_tensor_parallelism(site: Site, witness: Witness) -> None:
    site.env["OPSITE_GPUS"] = "0,1,2"
    shared = site.pool(gpus_per_worker=1, gpu_share=0.5, policy={"min_workers": 2, "max_workers": 2})
    wide = site.pool(gpus_per_worker=2, policy={"min_workers": 2, "max_workers": 2})
    none = site.pool(policy={"min_workers": 1})
    site.orchestrator()
    wait_for(
        lambda: [len(site.ready(pool)) for pool in (shared, wide, none)] == [2, 1, 1], what="all that fit are ready"
    )
    seen = witness.devices()
    assert len({seen[str(worker.pk)] for worker in site.live(shared)}) == 1
    (one,) = site.live(wide)
    assert len(seen[str(one.pk)]) == 2
    assert {device for devices in seen.values() for device in devices} == {"0", "1", "2"}
    assert seen[str(site.live(none)[0].pk)] == ()
    assert all(list(seen[str(worker.pk)]) == worker.gpus for worker in Worker.objects.all())
    assert {worker.gpu_share for worker in site.live(shared)} == {0.5}
    full = "No GPU is free: 3 of 3"
    wait_for(lambda: any(full in reason for reason in site.reasons(wide)), what="it is said why there is no other")


def test_what_becomes_free_is_kept_for_a_pool_that_needs_more_than_that_at_once(site: Site, witness: Witness) -> None:
    site.env["OPSITE_GPUS"] = "0,1"
    goes, wants = (site.pool(gpus_per_worker=1, policy={"min_workers": 1}) for _ in range(2))
    site.orchestrator()
    wait_for(lambda: site.ready(goes) and site.ready(wants), what="two pools have a device each")
    wide = site.pool(gpus_per_worker=2, policy={"min_workers": 1, "max_workers": 1})
    wait_for(lambda: any("No GPU is free" in reason for reason in site.reasons(wide)), what="a third one has none")
    ScalingPolicy.objects.filter(pool=wants).update(min_workers=2)
    wait_for(lambda: any("No GPU is free" in reason for reason in site.reasons(wants)), what="one wants both")
    ScalingPolicy.objects.filter(pool=goes).update(min_workers=0, max_workers=0)
    wait_for(lambda: not site.live(goes), what="one device is free")
    ScalingPolicy.objects.filter(pool=wants).update(min_workers=0, max_workers=0)
    wait_for(lambda: site.ready(wide), what="it has both")
    assert Worker.objects.filter(pool=wants).count() == 1
    assert witness.doubled == set()


def test_without_a_gpu_workers_are_counted_by_their_cores(site: Site) -> None:
    site.env |= {"OPSITE_GPUS": "", "OPSITE_CPUS": "3"}
    pool = site.pool(cpus_per_worker=2, policy={"min_workers": 2, "max_workers": 2})
    site.orchestrator()
    (worker,) = wait_for(lambda: site.ready(pool), what="one worker is ready")
    held = (
        f"A worker of this pool needs 2 cores; 1 of this host's 3 is free, the others are held by pool {pool.slug} (2)."
    )
    wait_for(lambda: any(held in reason for reason in site.reasons(pool)), what="it is said why there is no other")
    assert worker.cpus == 2
    assert environment(site.pids()[str(worker.pk)])["OMP_NUM_THREADS"] == "2"
    assert len(site.live(pool)) == 1
