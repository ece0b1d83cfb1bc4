"""The phases of a start: tables, and what of real workers stands in their rows and in the console."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from django.urls import reverse

from console.overview.hour import last_hour
from orchestrator import typical
from orchestrator.loop import Orchestrator
from orchestrator.models import Pool, Worker
from orchestrator.revisions import note_edit
from orchestrator.signals.phases import in_a_sentence, median, phases_of_start, shown
from tests.orchestrator.conftest import Site, wait_for

MIDDLE = {"runtime": 1.0, "import": 9.0, "load": 3.0, "compile": 18.0, "first_token": 3.0}


def test_what_the_worker_tells_stands_between_what_the_orchestrator_saw() -> None:
    told = {"load": 30.0, "import": 9.5, "first_token": 0.25}
    moments = {"asked_at": 100.0, "begun_at": 102.5, "loop_at": 103.0, "engine_at": 143.0, "seen_at": 143.5}
    phases = phases_of_start(**moments, told=told)
    assert phases == {"runtime": 2.5, "import": 9.5, "load": 30.0, "first_token": 0.25, "heard": 1.25}
    assert list(phases) == ["runtime", "import", "load", "first_token", "heard"]
    assert sum(phases.values()) == 43.5
    assert shown(phases) == "runtime 2.5 s, import 9.5 s, load 30.0 s, first token 0.2 s, heard 1.2 s"


def test_of_a_worker_that_tells_nothing_moments_stand_for_phases() -> None:
    phases = phases_of_start(asked_at=100.0, begun_at=102.5, loop_at=103.0, engine_at=143.0, seen_at=143.5, told={})
    assert phases == {"runtime": 2.5, "interpreter": 0.5, "engine": 40.0, "heard": 0.5}
    assert shown(phases) == "runtime 2.5 s, interpreter 0.5 s, engine 40.0 s, heard 0.5 s"


def test_a_clock_that_is_behind_or_silent_makes_no_phase_negative() -> None:
    behind = {"asked_at": 100.9, "begun_at": 100.0, "loop_at": 0.0, "engine_at": 0.0, "seen_at": 103.9}
    assert phases_of_start(**behind, told={}) == {"runtime": 0.0, "heard": 3.0}
    assert phases_of_start(**behind, told={"load": 9.0}) == {"runtime": 0.0, "load": 9.0, "heard": 0.0}


def test_the_start_in_the_middle_stands_for_all_and_its_phases_add_up() -> None:
    starts = [{"load": 900.0}, MIDDLE, {}, {"load": 1.0}]
    assert median(starts) == MIDDLE
    assert median([]) == median([{}]) == {}
    assert median([{"load": 2.0}, {"load": 1.0}]) == {"load": 1.0}
    said = "A start takes 34 s: container 1.0 s, import 9.0 s, load 3.0 s, compile 18.0 s, first token 3.0 s."
    assert in_a_sentence(starts, runtime="docker") == said
    assert in_a_sentence([{}], runtime="docker") == ""


@pytest.mark.django_db
def test_each_pool_and_runtime_has_its_own_start(admin_client: Client) -> None:
    now = datetime.now(UTC)
    pools = [
        Pool.objects.create(slug=slug, name=slug, engine="simulated", runtime="docker", image="i")
        for slug in ("one", "two", "new")
    ]

    def started(pool: Pool, runtime: str, phases: dict[str, float], days_ago: int = 0) -> None:
        at = now - timedelta(days=days_ago)
        revision = note_edit(pool.pk, now=now).current
        fields = {"started_at": at, "ready_at": at, "stopped_at": at, "state": "stopped", "slots": 1}
        Worker.objects.create(pool=pool, revision=revision, runtime=runtime, start_phases=phases, **fields)

    for _ in range(typical.PER_POOL):
        started(pools[0], "docker", MIDDLE)
        started(pools[0], "docker", {"load": 500.0}, days_ago=1)  # the last ones count
    started(pools[0], "process", {"load": 1.0})
    started(pools[1], "docker", {"load": 2.0})
    said = [
        "A start takes 34 s: container 1.0 s, import 9.0 s, load 3.0 s, compile 18.0 s, first token 3.0 s.",
        "A start takes 2.0 s: load 2.0 s.",
        "",
    ]
    assert [typical.of_pool(pool) for pool in pools] == said
    assert [typical.of_pools(pools)[pool.pk] for pool in pools] == said
    slugs = [pool.slug for pool in pools]
    shown = last_hour(now=time.time())["pools"]
    assert {slug: pool["start"] for slug, pool in shown.items()} == dict(zip(slugs, said, strict=True))
    page = admin_client.get(reverse("admin:orchestrator_pool_change", args=[pools[0].pk]))
    assert said[0] in page.content.decode()


def test_the_row_of_a_worker_has_the_phases_that_it_told(site: Site, running: Orchestrator) -> None:
    endless = site.pool(engine_args={"startup_s": 1000}, policy={"min_workers": 1})
    pool = site.pool(engine_args={"startup_s": 1.0, "step_base_s": 0.1}, policy={"min_workers": 1})
    wait_for(
        lambda: [worker for worker in site.live(endless) if worker.reason.endswith(" Now: loading the weights.")],
        what="a row says what its worker is at",
    )
    (worker,) = wait_for(lambda: site.ready(pool), what="a worker is ready")
    phases = worker.start_phases
    assert set(phases) == {"runtime", "interpreter", "import", "load", "first_token", "heard"}
    assert phases["load"] >= 1.0
    assert phases["first_token"] >= 0.1
    assert worker.ready_at is not None
    whole_s = (worker.ready_at - worker.started_at).total_seconds()
    assert sum(phases.values()) == pytest.approx(whole_s, abs=0.1)
    assert "Now:" not in worker.reason
    assert typical.of_pool(pool).startswith("A start takes ")
