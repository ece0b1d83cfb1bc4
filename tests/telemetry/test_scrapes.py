"""What real processes answer at /metrics, read by Prometheus' own parser, after real tasks."""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.faces.conftest import PATIENCE_S, await_ready, free_port, live_scene, start
from tests.processes import Process
from tests.scene import Scene
from tests.telemetry.catalogue import catalogue

__all__ = ["live_scene", "start"]

Key = tuple[str, tuple[tuple[str, str], ...]]
Samples = dict[Key, float]


def scrape(port: int) -> Samples:
    """All samples of Opsite's own by name and labels; every family is one that is documented, with a help text and a type."""
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=10).raise_for_status().text
    known = {one.name.removesuffix("_total"): one for one in catalogue()}
    samples = {}
    for family in text_string_to_metric_families(text):
        if not family.name.startswith("opsite_") or family.name.endswith("_created"):
            continue
        one = known[family.name]
        assert (family.type, family.documentation) == (one.kind, one.help)
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(one.labels), sample
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in samples, f"{key} is there twice"
            samples[key] = sample.value
    return samples


def until(port: int, check: Callable[[Samples], bool]) -> Samples:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            if check(samples := scrape(port)):
                return samples
        except httpx.TransportError:  # it begins
            samples = {}
        assert time.monotonic() < deadline, f"it did not come: {samples}"
        time.sleep(0.05)


def of(name: str, /, **labels: str) -> Key:
    return name, tuple(sorted(labels.items()))


def made_by_workers(samples: Samples) -> float:
    return sum(value for (name, _), value in samples.items() if name == "opsite_worker_tokens_total")


@pytest.mark.parametrize("processes", [1, 2])
def test_a_task_is_seen_by_every_process(live_scene: Scene, start: Callable[..., Process], processes: int) -> None:
    pool = live_scene.pool.slug
    port, web, recorder, orchestrator = (free_port() for _ in range(4))
    server = "uvicorn" if processes > 1 else "daphne"
    command = ("serve", "--port", str(port), "--server", server, "--processes", str(processes))
    process = start(*command, OPSITE_METRICS_PORT=str(web))
    start("record", OPSITE_METRICS_PORT=str(recorder))
    leader = start("orchestrate", OPSITE_METRICS_PORT=str(orchestrator))
    url = f"http://127.0.0.1:{port}"
    await_ready(url, process)
    with httpx.Client(base_url=url, headers=live_scene.ann.headers, timeout=PATIENCE_S) as client:
        body = {"agent": live_scene.ann.agent.slug, "input": "hi"}
        for _ in range(3):
            task = client.post("/api/v1/tasks", json=body).raise_for_status().json()
        assert client.post("/api/v1/tasks", json={**body, "deadline_s": -1}).status_code == 400
        assert client.get(f"/api/v1/tasks/{task['id']}/events").status_code == 200  # until its end
        assert client.get("/api/v1/tasks").status_code == 200
        assert client.get("/somewhere/that/nobody/knows").status_code == 404
    ended = of("opsite_tasks_ended_total", pool=pool, state="succeeded", code="")
    told = until(recorder, lambda samples: samples.get(ended) == 3)
    assert told[of("opsite_records_total", pool=pool, kind="finished")] == 3
    for name in ("wait", "first_token", "duration"):
        assert told[of(f"opsite_task_{name}_seconds_count", pool=pool)] == 3
    assert told[of("opsite_tokens_total", pool=pool, kind="completion")] > 0
    until(recorder, lambda samples: samples.get(of("opsite_recorder_lag_seconds", pool=pool)) == 0)

    told = scrape(web)
    assert told[of("opsite_submissions_total", pool=pool, outcome="accepted")] == 3
    posted = {"method": "POST", "route": "/api/v1/tasks"}
    assert told[of("opsite_http_requests_total", status="202", **posted)] == 3
    assert told[of("opsite_http_requests_total", status="400", **posted)] == 1
    assert told[of("opsite_http_request_duration_seconds_count", **posted)] == 4
    assert of("opsite_http_requests_total", status="200", method="GET", route="/api/v1/tasks/{id}/events") in told
    assert of("opsite_http_requests_total", status="200", method="GET", route="/api/v1/tasks") in told, "Django's"
    assert of("opsite_http_requests_total", status="404", method="GET", route="none") in told
    assert not [key for key in told if "nobody" in str(key)], "what strangers ask for makes no series"

    ready = of("opsite_pool_workers", pool=pool, state="ready")
    told = until(orchestrator, lambda samples: samples.get(ready, 0) >= 1)
    assert told[of("opsite_orchestrator_leads")] == 1
    assert told[of("opsite_pool_turns_arrived_total", pool=pool)] == 3
    assert told[of("opsite_pool_queue_unreadable", pool=pool)] == 0
    assert told[of("opsite_worker_starts_total", pool=pool)] >= 1
    assert told[of("opsite_worker_start_duration_seconds_count", pool=pool)] >= 1
    assert told[of("opsite_ticks_total", outcome="ok")] > 0
    made = until(orchestrator, lambda samples: made_by_workers(samples) > 0)
    assert [key for key in made if key[0] == "opsite_worker_heartbeat_age_seconds"]
    for other in (recorder, orchestrator):
        ready_now = httpx.get(f"http://127.0.0.1:{other}/readyz")
        assert ready_now.status_code == 200, ready_now.text
    leader.terminate()  # its workers outlive it
    leader.wait(60)
    assert start("stop_fleet").wait(60) == 0
