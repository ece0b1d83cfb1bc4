"""The first page: what is wrong in words, and pools as they are now, under real load and in a picture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
from playwright.sync_api import Locator, expect

from orchestrator.models import Pool, ScalingPolicy
from tests.browser.busy_day import POOLS, busy_day
from tests.browser.room import Room
from tests.faces.conftest import Web
from tests.processes import Process

TASKS = 40


def row_of(room: Room, pool: str) -> Locator:
    return room.page.locator("tbody.pool", has=room.page.get_by_role("link", name=pool, exact=True))


def findings(room: Room) -> Locator:
    return room.page.locator("#findings li")


def submit(web: Web, count: int) -> None:
    """Long answers of both tenants."""
    for party in (web.scene.ann, web.scene.bob):
        with httpx.Client(base_url=web.url, headers=party.headers, timeout=60) as client:
            for _ in range(count // 2):
                task = {"agent": "poet", "input": "sing", "parameters": {"max_tokens": 4000}}
                answer = client.post("/api/v1/tasks", json=task)
                assert answer.status_code == 202, answer.text


def test_a_service_without_orchestrator_says_so(room: Room, web: Web) -> None:
    room.open("")
    expect(room.page.get_by_role("status")).to_have_text("live")
    expect(row_of(room, web.scene.pool.slug)).to_be_visible()
    expect(findings(room).filter(has_text="No orchestrator leads")).to_be_visible()
    expect(room.page.get_by_role("heading", name="1 thing is wrong now")).to_be_visible()
    submit(web, 2)
    stuck = findings(room).filter(has_text=f"{web.scene.pool.slug}: 2 tasks wait, and it has no worker.")
    expect(stuck.get_by_role("link")).to_have_attribute("href", f"/console/pools/{web.scene.pool.slug}/")


def test_the_queue_and_the_fleet_grow_before_ones_eyes(
    room: Room, web: Web, start: Callable[..., Process], request: Any
) -> None:
    slug = web.scene.pool.slug
    slow = {"engine_args": {"step_base_s": 0.05}, "slots": 4}
    Pool.objects.filter(pk=web.scene.pool.pk).update(**slow)
    broken = Pool.objects.create(slug="broken", name="b", engine="simulated", engine_args={"no_such_argument": 1})
    ScalingPolicy.objects.create(pool=broken, min_workers=1)
    Pool.objects.create(slug="resting", name="r", engine="simulated", is_paused=True)
    room.open("")
    busy = row_of(room, slug)
    expect(busy.locator(".big")).to_have_text("0")
    submit(web, TASKS)
    expect(busy.locator(".big")).to_have_text(str(TASKS))
    request.getfixturevalue("fleet")
    expect(busy.get_by_text("2 ready")).to_be_visible()
    expect(busy.locator(".slots-cell")).to_contain_text("8 / 8")
    expect(busy.locator(".big")).to_have_text(str(TASKS - 8))
    room.page.wait_for_function(
        "() => Number(document.querySelector('[data-total=tokens]').textContent.replace(/\\D/g, '')) > 0"
    )
    expect(busy.locator(".why a")).to_contain_text("→ 2")
    expect(busy.locator("td[data-label^='wait p50']")).not_to_contain_text("–")
    expect(room.page.locator("[data-total=tasks]")).not_to_have_text("0")
    fails = findings(room).filter(has_text="broken: No start before")
    expect(fails).to_contain_text("no_such_argument")
    expect(fails.get_by_role("link")).to_have_attribute("href", "/console/pools/broken/")
    rests = findings(room).filter(has_text="resting: The pool is paused.")
    expect(rests.get_by_role("link")).to_have_attribute("href", "/console/pools/resting/")
    expect(findings(room).filter(has_text="No orchestrator leads")).to_have_count(0)
    expect(room.page.locator("tbody.pool .name").first).to_have_text("broken")


def test_a_day_at_a_glance(room: Room, web: Web, redis_url: str, process_env: dict[str, str]) -> None:
    Pool.objects.filter(pk=web.scene.pool.pk).update(slug="demo", model="models/opsite-verse")
    with busy_day(redis_url, stack=process_env["OPSITE_STACK"]):
        room.page.set_viewport_size({"width": 1280, "height": 1300})
        room.open("")
        expect(room.page.get_by_role("status")).to_have_text("live")
        expect(row_of(room, "chat-70b").get_by_text("6 ready")).to_be_visible()
        expect(room.page.locator("tbody.pool .name").first).to_have_text("vision")
        expect(room.page.locator(".spark canvas")).to_have_count(len(POOLS) + 1)
        room.page.get_by_label("Filter pools").fill("llama")
        expect(room.page.locator("tbody.pool:visible")).to_have_count(2)
        expect(room.page.get_by_text("2 of 7")).to_be_visible()
        room.page.get_by_label("Filter pools").fill("nothing of the kind")
        expect(room.page.get_by_text("No pool is called so.")).to_be_visible()
        room.page.get_by_label("Filter pools").fill("")
        room.page.get_by_label("Filter pools").blur()
        expect(findings(room).first).to_contain_text("vision: 5 tasks wait, and it has no worker.")
        room.look("overview")
