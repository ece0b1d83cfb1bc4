"""A worker's page in front of a live fleet: its log comes, it is drained, its turns go on elsewhere; and one with a GPU."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import httpx
import pytest
from django.utils import timezone
from playwright.sync_api import expect
from redis import Redis

from agents.models import Task, Turn
from orchestrator import records
from orchestrator.models import Pool, Worker
from orchestrator.placement.packing import Taken
from orchestrator.revisions import note_edit
from orchestrator.work_rows import WorkMinute
from taskqueue.looks import Gauge, Glimpse, Looks
from taskqueue.messages import WorkerStatus
from taskqueue.sync_client import Queue
from tests.browser.room import Room
from tests.faces.conftest import Web
from tests.orchestrator.conftest import wait_for
from tests.scene import Scene
from tests.staff.members import member

TOKENS = 400


@pytest.fixture
def slow(live_scene: Scene) -> Pool:
    """The scene's pool, at twenty tokens a second, with one worker at all times."""
    pool = live_scene.pool
    pool.engine_args = {"step_base_s": 0.05}
    pool.save()
    pool.policy.min_workers = pool.policy.max_workers = 1
    pool.policy.save()
    return pool


def ask(web: Web, count: int) -> list[str]:
    """Tasks of both tenants; their ids."""
    tasks = []
    for nth in range(count):
        party = (web.scene.ann, web.scene.bob)[nth % 2]
        asked = {"agent": "poet", "input": f"verse {nth}", "parameters": {"max_tokens": TOKENS}}
        answer = httpx.post(f"{web.url}/api/v1/tasks", json=asked, headers=party.headers, timeout=60)
        assert answer.status_code == 202, answer.text
        tasks.append(answer.json()["id"])
    return tasks


def test_a_live_worker_is_watched_and_drained(slow: Pool, web: Web, fleet: None, room: Room) -> None:
    page = room.page
    (row,) = wait_for(lambda: list(Worker.objects.filter(pool=slow, state="ready")), what="a worker is ready")
    room.open("orchestrator/worker/")
    page.get_by_role("link", name=str(row.pk)[-8:]).click()
    page.wait_for_url(f"**/console/workers/{row.pk}/")
    expect(page.get_by_role("status")).to_have_text("live")
    expect(page.locator("#log")).to_contain_text("ready")
    expect(page.locator("#start")).to_contain_text("This start")
    expect(page.locator("#pid")).to_have_text(re.compile(r"^\d+$"))
    expect(page.locator("#figures")).to_contain_text("cores in use")
    expect(page.locator("#figures")).not_to_contain_text("GPU")
    tasks = ask(web, 3)
    expect(page.locator("#turns tr")).to_have_count(3)
    expect(page.locator("#turns")).to_contain_text("Ann")
    expect(page.locator("#figures")).to_contain_text("3 of 8")
    page.get_by_role("link", name="Drain…").click()
    page.get_by_role("button", name="Drain it").click()
    expect(page.get_by_text("The worker is to drain")).to_be_visible()
    expect(page.locator("#state")).to_have_text("stopped")
    expect(page.locator("#why")).to_contain_text("Drained by operator-")
    expect(page.get_by_role("link", name="Kill…")).to_be_hidden()
    room.look("worker-drained")
    done = Task.objects.across_tenants().filter(pk__in=tasks)
    wait_for(lambda: done.filter(state="succeeded").count() == 3, what="all tasks have ended elsewhere")
    assert set(done.values_list("attempts", "completion_tokens")) == {(2, TOKENS)}
    assert not Worker.objects.filter(pool=slow, state="failed").exists()


# -- one with a GPU ------------------------------------------------------------------------------
LINES = (
    "INFO 11-26 08:41:02 opsite-worker: pool llama-70b, engine vllm, model meta-llama/Llama-3.3-70B-Instruct",
    "INFO 11-26 08:41:40 weights: 35.6 s, 66.5 GiB",
    "INFO 11-26 08:42:11 compile and warm-up: 31.2 s",
    "INFO 11-26 08:42:12 ready after 71.3 s: 8 slots",
    "INFO 11-26 08:47:12 engine: running 6, waiting 0, KV cache 23.8 %, prefix cache hit rate 71.2 %",
    "INFO 11-26 08:52:12 engine: running 5, waiting 0, KV cache 19.1 %, prefix cache hit rate 71.9 %",
)


class Busy:
    """A declared stand-in for a worker with two GPUs and its orchestrator: beats, holds turns, is shown. No process."""

    def __init__(self, scene: Scene, redis: Redis) -> None:
        now = timezone.now()
        pool = scene.pool
        Pool.objects.filter(pk=pool.pk).update(
            engine="vllm", model="meta-llama/Llama-3.3-70B-Instruct", gpus_per_worker=2, slots=8,
            engine_args={"max_model_len": 32768, "enable_prefix_caching": True}, env={"HF_TOKEN": "secret"},
        )  # fmt: skip
        self._pool, self._redis = pool, redis
        revision = note_edit(pool.pk, now=now).current
        taken = Taken(("GPU-8f3a61c2-5d1e-4a0b-9c1f-0d9a7b6e2f41", "GPU-1c77e9d0-2b4a-4f6e-8a55-6f0b3c9d1e72"))
        reason = "12 waiting are foreseen to wait 9.4 s, and the bound is 5 s."
        self.row = records.new_worker(pool, revision, reason=reason, now=now.timestamp() - 3980, taken=taken)
        phases = {
            "runtime": 1.4,
            "interpreter": 0.3,
            "import": 9.2,
            "load": 35.6,
            "compile": 31.2,
            "first_token": 0.6,
            "heard": 0.4,
        }
        usual = {
            "runtime": 1.2,
            "interpreter": 0.3,
            "import": 8.8,
            "load": 22.9,
            "compile": 30.4,
            "first_token": 0.6,
            "heard": 0.5,
        }
        ready = now - timedelta(seconds=3900)
        records.change(self.row, state="ready", ready_at=ready, start_phases=phases, runtime_ref=str(self.row.pk))
        for _ in range(3):
            other = records.new_worker(pool, revision, reason="r", now=now.timestamp() - 9000)
            ended = {"state": "stopped", "stopped_at": now, "ready_at": now - timedelta(seconds=8900)}
            records.change(other, **ended, start_phases=usual)
        self._history(now)
        self._hold(scene)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="busy", daemon=True)

    def _history(self, now: datetime) -> None:
        tokens, minutes = 0, []
        for minute in range(62):
            at = now - timedelta(minutes=62 - minute)
            load = 0.35 + 0.3 * ((minute // 9) % 3) + 0.02 * (minute % 7)
            tokens += round(60 * 1450 * min(1.0, load))
            busy = round(60_000 * min(0.99, 0.4 + load / 2))
            minutes.append((at, tokens, busy + (minutes[-1][2] if minutes else 0)))
        WorkMinute.objects.bulk_create(
            WorkMinute(
                worker=self.row, minute=at.replace(second=0, microsecond=0), at=at, busy_ms=busy, steps=1, sequences=made,
                prefilled=0,
            )
            for at, made, busy in minutes
        )  # fmt: skip
        self._tokens = tokens

    def _hold(self, scene: Scene) -> None:
        for nth in range(5):
            party = (scene.ann, scene.bob)[nth % 2]
            turn = Turn.objects.for_tenant(party.tenant).get(task=party.task())
            claimed = timezone.now() - timedelta(seconds=3 + 11 * nth)
            Turn.objects.for_tenant(party.tenant).filter(pk=turn.pk).update(attempts=1, claimed_at=claimed)
            self._redis.sadd(f"opsite:{{{self._pool.slug}}}:held:{self.row.pk}", str(turn.pk))

    def _beat(self) -> None:
        queue, looks, now_ms = (
            Queue(self._redis, self._pool.slug),
            Looks(self._redis),
            timezone.now().timestamp() * 1000,
        )
        names = ("NVIDIA H100 80GB HBM3",) * 2
        while not self._stop.is_set():
            self._tokens += 700
            status = WorkerStatus(
                worker=str(self.row.pk), phase="ready", engine="vllm", model="m", slots=8, running=5,
                tokens_total=self._tokens, started_ms=1, ready_ms=round(now_ms - 3_900_000),
            )  # fmt: skip
            queue.heartbeat(status, [], lease_s=60)
            gauges = tuple(
                Gauge(
                    device=device, name=name, memory_used_mib=72_310 - 900 * nth, memory_total_mib=81_559,
                    utilisation=87 - 3 * nth,
                )
                for nth, (device, name) in enumerate(zip(self.row.gpus, names, strict=True))
            )  # fmt: skip
            looks.show({
                str(self.row.pk): Glimpse(
                    host="gpu-07", pid=41_822, cpus=1.62, memory_bytes=9_431_000_000, gpus=gauges, lines=LINES
                )
            })  # fmt: skip
            self._stop.wait(0.5)

    def __enter__(self) -> Busy:
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._stop.set()
        self._thread.join(30)


@pytest.fixture
def busy(web: Web, redis: Redis) -> Iterator[Busy]:
    with Busy(web.scene, redis) as busy:
        yield busy


def test_gpus_and_the_last_hour_are_seen_by_all_and_a_viewer_can_end_nothing(
    enter: Callable[..., Room], busy: Busy
) -> None:
    for room, ends in ((enter(), 1), (enter(member("viewer")), 0)):
        page, figures = room.page, room.page.locator("#figures")
        room.open(f"workers/{busy.row.pk}/")
        expect(page.get_by_role("status")).to_have_text("live")
        expect(figures).to_contain_text("87 % busy")
        expect(figures).to_contain_text("70.6 GiB of 79.6 GiB")
        expect(figures).to_contain_text("5 of 8")
        expect(page.locator("#tokens-chart canvas")).to_be_visible()
        expect(page.locator("#start")).to_contain_text("Usual in this pool: 65 s")
        expect(page.locator("#turns tr")).to_have_count(5)
        expect(page.locator("#log")).to_contain_text("KV cache 23.8 %")
        expect(page.get_by_role("link", name="Kill…")).to_have_count(ends)
        if ends:
            room.look("worker")
            page.locator("#start-title").evaluate("title => title.scrollIntoView()")
            room._picture("worker-below")
            page.get_by_role("link", name="Kill…").click()
            expect(page.get_by_text("nothing counts against these turns")).to_be_visible()
            room.look("worker-kill")
