"""Alive and ready, as values and over HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from prometheus_client import CollectorRegistry

from telemetry.pulse import Pulse
from telemetry.serving import Serving


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pulse(clock: Clock) -> Pulse:
    return Pulse(clock=clock)


@pytest.fixture
def url(pulse: Pulse) -> Iterator[str]:
    serving = Serving("127.0.0.1", 0, registry=CollectorRegistry(), pulse=pulse)
    yield f"http://127.0.0.1:{serving.port}"
    serving.close()


def test_a_loop_that_hangs_is_no_life(pulse: Pulse, clock: Clock) -> None:
    pulse.beat("a", within_s=10)
    pulse.beat("b", within_s=30)
    assert pulse.silent() == []
    clock.now += 11
    assert pulse.silent() == ["a"]
    pulse.beat("a", within_s=10)
    assert pulse.silent() == []
    clock.now += 60
    pulse.end("a")
    assert pulse.silent() == ["b"]


def test_what_is_lacking_is_said_over_http(pulse: Pulse, clock: Clock, url: str) -> None:
    assert httpx.get(f"{url}/livez").status_code == 200
    assert httpx.get(f"{url}/readyz").json() == {"status": "unavailable", "lacking": {"process": "begins"}}
    pulse.beat("pools", within_s=10)
    assert httpx.get(f"{url}/readyz").status_code == 200
    pulse.lacks("pools", "Postgres does not answer")
    answer = httpx.get(f"{url}/readyz")
    assert (answer.status_code, answer.json()["lacking"]) == (503, {"pools": "Postgres does not answer"})
    assert httpx.get(f"{url}/livez").status_code == 200, "a server that is away is no reason to be killed"
    pulse.lacks("pools", "")
    clock.now += 11
    answer = httpx.get(f"{url}/livez")
    assert (answer.status_code, answer.json()["silent"]) == (503, ["pools"])
    assert httpx.get(f"{url}/readyz").status_code == 503
    assert httpx.get(f"{url}/elsewhere").status_code == 404
