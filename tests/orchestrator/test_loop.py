"""The loop around the ticks: only the leader acts, what fails does not spread, the end of the stack ends the fleet."""

from __future__ import annotations

import re
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from orchestrator import records
from orchestrator.control import PoolControl, signals_of
from orchestrator.credentials import Credentials
from orchestrator.fleet import Sight
from orchestrator.host import LeadLost
from orchestrator.leader import Leadership
from orchestrator.loop import Orchestrator
from orchestrator.models import Pool, Worker
from orchestrator.policies.decide import STALE_S
from orchestrator.policies.demand import Demand
from orchestrator.revisions import note_edit
from orchestrator.runtimes import WorkerSpec
from orchestrator.runtimes.process import ProcessRuntime
from orchestrator.services import stop_fleet
from orchestrator.specs import BadPool, fingerprint, worker_spec
from orchestrator.specs import Site as SpecSite
from orchestrator.watch import Look
from taskqueue.messages import PoolSignals
from tests.orchestrator.conftest import ROOT, Site, wait_for


def test_who_has_lost_the_lead_starts_nothing(site: Site) -> None:
    pool = site.pool()
    site.submit(pool, 5)
    orchestrator = Orchestrator()
    with pytest.raises(LeadLost):
        orchestrator.tick()
    assert not Worker.objects.exists()
    assert not site.pids()


def test_a_second_orchestrator_does_nothing_while_the_first_leads(site: Site) -> None:
    pool = site.pool(policy={"min_workers": 1})
    first = Leadership(site.env["OPSITE_STACK"])
    assert first.campaign()
    stop = threading.Event()
    thread = threading.Thread(target=Orchestrator(tick_s=0.05).run, args=(stop,))
    thread.start()
    stop.wait(0.5)
    assert not Worker.objects.exists()
    first.resign()
    wait_for(lambda: site.ready(pool), what="the second leads, and a worker is ready")
    stop.set()
    thread.join(20)


def test_leases_are_looked_after_by_who_stands_by(site: Site) -> None:
    """A leader that is paused keeps its lock: nobody else can lead, but the queue is tended."""
    pool = site.pool(max_losses=1)
    first = Leadership(site.env["OPSITE_STACK"])
    assert first.campaign()
    (turn,) = site.submit(pool, 1)
    site.queue(pool).claim("a worker that dies", 1, lease_s=0.2)
    stop = threading.Event()
    thread = threading.Thread(target=Orchestrator(tick_s=0.05).run, args=(stop,))
    thread.start()
    wait_for(lambda: turn in site.finished(pool), what="the lapsed lease is reaped")
    stop.set()
    thread.join(20)
    first.resign()


def test_one_pools_failure_does_not_stop_the_others(
    site: Site, running: Orchestrator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bad = site.pool(slug="a-bad-one")
    tick = PoolControl.tick

    def broken(self: PoolControl, pool: Pool, *args: Any, **more: Any) -> Any:
        if pool.pk == bad.pk:
            raise ZeroDivisionError
        return tick(self, pool, *args, **more)

    monkeypatch.setattr(PoolControl, "tick", broken)
    good = site.pool(policy={"min_workers": 1})
    wait_for(lambda: site.ready(good), what="the other pool has its worker")
    assert "pool a-bad-one: this tick failed" in caplog.text


@pytest.mark.parametrize(
    ("fields", "policy"),
    [
        ({}, {"schedule": [{"days": "mon"}]}),
        ({}, {"idle_to_zero_s": float("inf")}),  # no JSON has it, so the decision cannot be kept
        ({"engine": "transformers", "model": "m" * 300}, {}),
        ({"engine": "vllm", "model": "org/model", "engine_args": {"revision": "v" * 2000}}, {}),
    ],
)
def test_one_pools_bad_row_does_not_stop_the_others(
    site: Site,
    leading: Orchestrator,
    monkeypatch: pytest.MonkeyPatch,
    settings: Any,
    fields: dict[str, Any],
    policy: dict[str, Any],
) -> None:
    settings.OPSITE_MODEL_CACHE = str(site.folder)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    site.pool(slug="a-bad-one", **fields, policy={"min_workers": 1, **policy})
    good = site.pool(policy={"min_workers": 1})
    for _ in range(2):
        leading.tick()
    assert len(site.live(good)) == 1


BAD_FIELDS = [
    ("env", ["A=1"], 'env is an object, {"name": "value"}, not a list.'),
    ("env", {"A": [1]}, "env: A is a text or a number, not a list."),
    ("mounts", {"/a": "/b"}, 'mounts is a list of folders, ["/srv/models"], not an object.'),
    ("mounts", ["models"], "mounts 'models': mounts are absolute paths of the engine's host."),
    ("engine_args", "fast", 'engine_args is an object, {"name": "value"}, not a text.'),
    ("engine_args", {"revision": "v" * 256}, "engine_args: revision is a name of 255 characters at most."),
]


@pytest.mark.parametrize(("field", "value", "says"), BAD_FIELDS)
def test_a_field_of_the_wrong_form_fails_the_start_with_a_sentence_and_backs_off(
    site: Site, leading: Orchestrator, field: str, value: Any, says: str
) -> None:
    pool = site.pool(policy={"min_workers": 1}, **{field: value})
    for _ in range(3):
        leading.tick()
    (failed,) = Worker.objects.filter(pool=pool)
    assert (failed.state, failed.error) == ("failed", f"Pool {pool.slug}: {says}")
    with pytest.raises(ValidationError, match=re.escape(says)):
        pool.clean_fields()


def test_a_start_that_fails_in_a_way_that_nobody_foresaw_is_counted(
    site: Site, leading: Orchestrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object, **more: object) -> WorkerSpec:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("orchestrator.control.worker_spec", broken)
    pool = site.pool(policy={"min_workers": 1})
    for _ in range(3):
        leading.tick()
    (failed,) = Worker.objects.filter(pool=pool)
    assert failed.error == "It cannot be started (ZeroDivisionError('by zero')); the orchestrator's log says where."


def test_the_end_of_the_stack_ends_the_fleet(site: Site) -> None:
    pool = site.pool(policy={"min_workers": 2, "max_workers": 2})
    stop = threading.Event()
    thread = threading.Thread(target=Orchestrator(tick_s=0.1).run, args=(stop,))
    thread.start()
    wait_for(lambda: len(site.ready(pool)) == 2, what="two workers are ready")
    stop.set()
    thread.join(20)
    assert len(site.pids()) == 2
    assert stop_fleet(grace_s=10) == 2
    assert not site.pids()
    assert set(Worker.objects.values_list("state", flat=True)) == {"stopped"}
    assert stop_fleet(grace_s=1) == 0


def test_work_that_its_tenant_s_limit_holds_back_is_no_demand() -> None:
    def demand(waiting: int, held_back: int) -> Demand | None:
        status = PoolSignals(
            now_ms=0,
            waiting=waiting,
            held_back=held_back,
            running=2,
            oldest_wait_s=90.0,
            waiting_tokens=5000,
            arrived=700,
        )
        look = Look(Pool(slug="p", slots=4), Sight(), {}, status, heard_at=5.0, now=6.0)
        return signals_of([], look, slots=4).demand

    assert demand(100, 97) == Demand(at=5.0, waiting=3, running=2, oldest_wait_s=90.0, arrived=700, work_waiting=150)
    assert demand(100, 100) == Demand(at=5.0, waiting=0, running=2, arrived=700, work_waiting=0)


def test_figures_that_a_slow_tick_has_made_old_decide_nothing(
    site: Site, leading: Orchestrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the queue said is as old as its answer, not as the pool's turn in the tick."""
    pool = site.pool(policy={"min_workers": 1})
    later = SimpleNamespace(time=lambda: time.time() + 2 * STALE_S)
    monkeypatch.setattr("orchestrator.control.time", later)  # when it is this pool's turn
    leading.tick()
    assert not Worker.objects.exists()
    assert "The queue's figures are 10 s off the clock" in site.reasons(pool)[0]


SITE = SpecSite(stack="s", python="python3", image="img", base_folder=ROOT)
CREDENTIALS = Credentials(redis_url="unix://u:pw@/r.sock", cache_salt_key="k")


def spec_of(pool: Pool, gpus: tuple[str, ...] = ()) -> WorkerSpec:
    given = {"worker": "w", "gpus": gpus, "site": SITE, "credentials": CREDENTIALS}
    return worker_spec(pool, pool=pool.slug, lease_s=pool.lease_s, **given)  # type: ignore[arg-type]


def test_a_spec_names_the_models_folder_by_its_absolute_path_and_mounts_it() -> None:
    pool = Pool(slug="p", engine="transformers", model="tests/orchestrator", engine_args={"a": 1}, slots=3, lease_s=2.5)
    spec = spec_of(pool, ("1",))
    folder = str(ROOT / "tests/orchestrator")
    assert spec.env == {
        "OPSITE_REDIS_URL": "unix://u:pw@/r.sock",
        "OPSITE_CACHE_SALT_KEY": "k",
        "OPSITE_POOL": "p",
        "OPSITE_WORKER_ID": "w",
        "OPSITE_ENGINE": "transformers",
        "OPSITE_MODEL": folder,
        "OPSITE_SLOTS": "3",
        "OPSITE_LEASE_S": "2.5",
        "OPSITE_ENGINE_ARGS": '{"a": 1}',
        "OPSITE_LOG_LEVEL": "info",
        "OPSITE_LOG_FORMAT": "plain",
    }
    assert spec.mounts == (folder,)
    assert (spec.python, spec.image, spec.gpus) == ("python3", "img", ("1",))
    assert spec.redis_url == "unix://u:pw@/r.sock"
    assert "pw" not in repr(spec)


def test_a_pools_env_reaches_the_worker_but_for_what_the_runtime_needs() -> None:
    env = {"OPSITE_WORKER_PYTHON": "/venv/bin/python", "OPSITE_MEMORY_BYTES": 5, "A": 1}
    spec = spec_of(Pool(slug="p", model="org/model", env=env))
    assert (spec.python, spec.limits, spec.mounts) == ("/venv/bin/python", {"memory_bytes": 5}, ())
    assert spec.env["A"] == "1"
    assert "OPSITE_WORKER_PYTHON" not in spec.env
    with pytest.raises(BadPool, match="absolute"):
        spec_of(Pool(slug="p", mounts=["models"]))
    with pytest.raises(BadPool, match="whole numbers"):
        spec_of(Pool(slug="p", env={"OPSITE_PIDS_LIMIT": "many"}))
    for name in ("OPSITE_REDIS_URL", "OPSITE_CACHE_SALT_KEY"):
        with pytest.raises(BadPool, match=f"{name} in its env: each worker is given its own"):
            spec_of(Pool(slug="p", env={name: "mine"}))


def test_a_fingerprint_changes_with_what_starts_a_worker_only() -> None:
    pool = Pool(slug="p", model="a")
    before = fingerprint(pool)
    pool.is_paused = True
    pool.name = "other"
    assert fingerprint(pool) == before
    pool.model = "b"
    assert fingerprint(pool) != before


def test_a_begin_that_fails_is_tried_again_at_the_next_tick(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries = []

    def adopt(self: ProcessRuntime) -> None:
        tries.append(Worker.objects.count())
        if len(tries) == 1:
            raise OSError("the disk is gone")

    monkeypatch.setattr(ProcessRuntime, "adopt", adopt)
    pool = site.pool(policy={"min_workers": 1})
    stop = threading.Event()
    thread = threading.Thread(target=Orchestrator(tick_s=0.05).run, args=(stop,))
    thread.start()
    try:
        wait_for(lambda: site.live(pool), what="it leads all the same")
    finally:
        stop.set()
        thread.join(20)
        monkeypatch.undo()
    assert tries == [0, 0]  # and starts nothing before it knows what runs
    assert "the disk is gone" in caplog.text


def test_what_a_start_came_to_is_not_lost_with_a_tick_that_fails(
    site: Site, leading: Orchestrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = site.pool(policy={"min_workers": 1}, env={"OPSITE_WORKER_PYTHON": "/no/python"})
    leading.tick()
    starting = leading._host.fleet._starting
    wait_for(lambda: all(one.future.done() for one in starting.values()), what="the start has failed")
    with monkeypatch.context() as broken:
        broken.setattr(leading.queues, "signals", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            leading.tick()
    leading.tick()
    (failed,) = Worker.objects.filter(pool=pool)
    assert failed.error.startswith("/no/python cannot be started (No such file or directory)")
    assert failed.end_counts


def test_a_start_that_nobody_went_on_with_is_no_failure_after_a_restart_either(
    site: Site, leading: Orchestrator
) -> None:
    pool = site.pool(is_paused=True)
    revision = note_edit(pool.pk, now=timezone.now()).current
    rows = [records.new_worker(pool, revision, reason="r", now=time.time()) for _ in range(3)]
    leading.tick()
    assert {row.error for row in Worker.objects.all()} == {"The orchestrator ended before it had started it."}
    assert Worker.objects.filter(state="failed").count() == len(rows)
    assert leading._controls[pool.pk].watch.backoffs == {}
    assert records.past_failures(pool) == {}


def test_failures_are_remembered_over_a_restart(site: Site) -> None:
    pool = site.pool()
    revision = note_edit(pool.pk, now=timezone.now()).current
    for at in (100.0, 200.0):
        row = records.new_worker(pool, revision, reason="r", now=at)
        records.end(row, state="failed", now=at + 1, exit_code=78, error="no such model", log_tail="")
    (backoff,) = records.past_failures(pool).values()
    assert (backoff.failures, backoff.until, backoff.error) == (2, 211.0, "no such model")
