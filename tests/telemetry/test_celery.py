"""What celery's worker tells: each task's runs, how long, how they ended, and that it is there at all."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from celery import Task, shared_task
from celery.app import app_or_default
from django.core.cache import cache
from prometheus_client import REGISTRY

from console.overview import heartbeat
from opsite import job_telemetry, jobs
from opsite.service import CELERY
from telemetry.pulse import PULSE
from tests.faces.conftest import free_port
from tests.processes import start_process
from tests.telemetry.test_scrapes import of, until

pytestmark = pytest.mark.timeout(150)
HEARTBEAT = "opsite.jobs.heartbeat"


def sample(name: str, /, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


def runs(name: str, outcome: str) -> float:
    return sample("opsite_celery_tasks_total", name=name, outcome=outcome) or 0


@pytest.fixture
def broken() -> Iterator[Task]:
    """A task that fails."""

    @shared_task(name="tests.broken")
    def fail() -> None:
        raise ValueError("it is broken")

    yield fail
    app_or_default().tasks.unregister("tests.broken")


@pytest.fixture(autouse=True)
def nothing_heard() -> Iterator[None]:
    cache.delete_many([heartbeat.KEY, job_telemetry.SUCCEEDED])
    yield
    PULSE.end("celery")


def test_a_run_is_counted_and_its_end_remembered() -> None:
    before, began = runs(HEARTBEAT, "ok"), time.time()
    jobs.heartbeat.apply()
    assert runs(HEARTBEAT, "ok") == before + 1
    at = sample("opsite_celery_task_last_success_timestamp_seconds", name=HEARTBEAT)
    assert at is not None
    assert began <= at <= time.time()
    assert cache.get(job_telemetry.SUCCEEDED) == {HEARTBEAT: at}, "for the worker that comes after this one"
    assert (sample("opsite_celery_task_duration_seconds_count", name=HEARTBEAT) or 0) == before + 1
    heard = heartbeat.heard()
    assert heard is not None
    assert began <= heard.at <= heard.until - job_telemetry.WITHIN_S <= time.time()


def test_a_run_that_fails_is_no_success(broken: Task) -> None:
    before = runs(broken.name, "error")
    broken.apply()
    assert (runs(broken.name, "error"), runs(broken.name, "ok")) == (before + 1, 0)
    assert sample("opsite_celery_task_last_success_timestamp_seconds", name=broken.name) is None
    assert heartbeat.heard() is not None, "celery is there all the same"


def test_what_runs_for_long_is_not_silent() -> None:
    seen = []

    @shared_task(name="tests.long")
    def long() -> None:
        seen.append(heartbeat.heard())

    long.apply()
    app_or_default().tasks.unregister("tests.long")
    (heard,) = seen
    assert heard is not None
    assert heard.until - heard.at == pytest.approx(job_telemetry.TASK_WITHIN_S)


@pytest.fixture
def celery_env(process_env: dict[str, str]) -> dict[str, str]:
    Path(process_env["OPSITE_DATA_DIR"]).mkdir(exist_ok=True)  # beat's timetable lies there
    return {**process_env, "OPSITE_METRICS_PORT": str(free_port())}


@pytest.mark.django_db(transaction=True)
def test_the_process_serves_what_it_does(celery_env: dict[str, str]) -> None:
    cache.set(job_telemetry.SUCCEEDED, {"opsite.jobs.retention": 1000.0}, timeout=None)
    port = int(celery_env["OPSITE_METRICS_PORT"])
    celery = start_process(*CELERY[2:], env=celery_env)
    try:
        ran = of("opsite_celery_tasks_total", name=HEARTBEAT, outcome="ok")
        told = until(port, lambda samples: samples.get(ran, 0) >= 1)
        assert told[of("opsite_celery_task_last_success_timestamp_seconds", name="opsite.jobs.retention")] == 1000
        assert told[of("opsite_celery_task_last_success_timestamp_seconds", name=HEARTBEAT)] > time.time() - 60
        for path in ("livez", "readyz"):
            answer = httpx.get(f"http://127.0.0.1:{port}/{path}")
            assert answer.status_code == 200, answer.text
        heard = heartbeat.heard()
        assert heard is not None
        assert heard.until > time.time()
    finally:
        celery.terminate()
        assert celery.wait(30) == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/livez")


def test_a_taken_port_ends_it(celery_env: dict[str, str], tmp_path: Path) -> None:
    with socket.socket() as taken, (tmp_path / "lines").open("wb") as lines:
        taken.bind(("127.0.0.1", int(celery_env["OPSITE_METRICS_PORT"])))
        taken.listen()
        celery = start_process(*CELERY[2:], env=celery_env, stdout=lines, stderr=lines)
        assert celery.wait(60) == 1
    assert "each process needs one of its own" in (tmp_path / "lines").read_text()
