"""What somebody who looks at a worker is shown: its log, CPU, memory and GPUs; nothing is read where nobody looks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis

from orchestrator.lookout import Known, Lookout
from orchestrator.loop import Orchestrator
from orchestrator.masking import mask_of
from orchestrator.runtimes import Peek, RuntimeUnavailable
from orchestrator.runtimes.inventory import gauges_by_nvml
from taskqueue import keys
from taskqueue.looks import Gauge, Glimpse, Looks
from tests.orchestrator.conftest import Site, wait_for
from tests.orchestrator.nvml import Gpu, Nvml


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> Nvml:
    library = Nvml(Gpu("GPU-a", used_mib=61_440, utilisation=87), Gpu("GPU-b", utilisation=None))
    library.install(monkeypatch)
    return library


# -- NVML ----------------------------------------------------------------------------------------
def test_gpus_say_what_they_know(nvml: Nvml) -> None:
    told = gauges_by_nvml(["GPU-a", "1", "GPU-gone", "7"])
    name = "NVIDIA H100 80GB HBM3"
    assert told == {
        "GPU-a": Gauge(device="GPU-a", name=name, memory_used_mib=61_440, memory_total_mib=81_559, utilisation=87),
        "1": Gauge(device="1", name=name, memory_used_mib=0, memory_total_mib=81_559, utilisation=None),
    }
    nvml.gpus[0].is_lost = True
    assert list(gauges_by_nvml(["GPU-a", "GPU-b"])) == ["GPU-b"]


def test_without_a_driver_there_is_nothing_and_no_zero() -> None:
    assert gauges_by_nvml(["GPU-a"]) == {}


# -- a fleet of processes ------------------------------------------------------------------------
def test_a_worker_is_shown_while_somebody_looks(site: Site, redis: Redis, nvml: Nvml, settings: Any) -> None:
    settings.OPSITE_GPUS = None  # what NVML finds
    with_gpu = site.pool(gpus_per_worker=1, policy={"min_workers": 1, "max_workers": 1})
    without = site.pool(policy={"min_workers": 1, "max_workers": 1})
    looks = Looks(redis)
    with Leading():
        (row,) = wait_for(lambda: site.ready(with_gpu), what="a worker with a GPU is ready")
        (other,) = wait_for(lambda: site.ready(without), what="one without is ready")

        def glimpse(pool: str, worker: object) -> Glimpse | None:
            return looks.look(pool=pool, worker=str(worker)).glimpse

        wait_for(lambda: (seen := glimpse(with_gpu.slug, row.pk)) and seen.gpus and seen.cpus is not None, what="shown")
        seen = looks.look(pool=with_gpu.slug, worker=str(row.pk))
        shown = seen.glimpse
        assert shown is not None
        assert shown.pid == site.pids()[str(row.pk)]
        assert shown.host
        assert shown.memory_bytes is not None
        assert shown.memory_bytes > 1 << 20
        assert any("ready" in line for line in shown.lines)
        assert [gauge.device for gauge in shown.gpus] == row.gpus
        assert [status.phase for status in seen.statuses] == ["ready"]
        assert seen.statuses[0].beat_ms <= seen.now_ms
        wait_for(lambda: glimpse(without.slug, other.pk), what="the other is shown")
        last = glimpse(without.slug, other.pk)
        assert last is not None
        assert last.gpus == ()
        wait_for(
            lambda: not redis.exists(keys.glimpse(str(row.pk))), what="nobody looks: nothing is shown", timeout_s=20
        )


class Leading:
    """An orchestrator on a thread."""

    def __enter__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=Orchestrator(tick_s=0.2).run, args=(self._stop,), name="orchestrator")
        self._thread.start()

    def __exit__(self, *raised: object) -> None:
        self._stop.set()
        self._thread.join(30)


def test_a_turn_that_runs_is_among_those_held(site: Site, running: Orchestrator, redis: Redis) -> None:
    pool = site.pool(policy={"min_workers": 1, "max_workers": 1})
    (row,) = wait_for(lambda: site.ready(pool), what="a worker is ready")
    turns = site.submit(pool, 2, tokens=100)
    looks = Looks(redis)
    wait_for(
        lambda: set(looks.look(pool=pool.slug, worker=str(row.pk)).held) == set(turns), what="it holds both of them"
    )


# -- what is slow or away --------------------------------------------------------------------------
class Engine:
    """A runtime whose first worker takes for ever to be looked at, and whose last one cannot be."""

    def __init__(self) -> None:
        self.go = threading.Event()

    def peek(self, ref: str) -> Peek:
        if ref == "slow":
            assert self.go.wait(60)
        if ref == "away":
            raise RuntimeUnavailable("Docker engine is not reachable.")
        return Peek(log=f"words of {ref} for hf_ses\x1b[0mame\n", cpu_s=1.0)


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.go.set()


def test_one_that_is_slow_holds_up_no_other(redis: Redis, pool: str, engine: Engine) -> None:
    mask = mask_of({"HF_TOKEN": "hf_sesame"})
    known = {f"{pool}-{ref}": Known("docker", ref, mask=mask) for ref in ("slow", "away", "quick")}
    looks = Looks(redis)
    runtimes: Any = {"docker": engine}
    lookout = Lookout(looks, runtimes=runtimes, host="here", read_gauges=lambda devices: {})
    lookout.watch(known)
    lookout.start()
    try:

        def shown(ref: str) -> Glimpse | None:
            return looks.look(pool=pool, worker=f"{pool}-{ref}").glimpse

        wait_for(lambda: shown("slow") or (shown("quick") and shown("away")), what="the others are shown")
        quick, away = shown("quick"), shown("away")
        assert quick == Glimpse(host="here", lines=("words of quick for •••",), cpus=quick.cpus if quick else None)
        assert away == Glimpse(host="here", error="Docker engine is not reachable.")
        assert shown("slow") is None
        assert looks.looked_for([*known, "nobody"]) == list(known)
        engine.go.set()
        wait_for(lambda: shown("slow"), what="it is shown when it has answered")
    finally:
        lookout.stop()
