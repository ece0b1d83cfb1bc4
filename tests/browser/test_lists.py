"""Lists in a real browser: by keyboard, on a phone, with what is kept and what is taken away; and axe on every list and form."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import RequestFactory
from django.utils import timezone
from playwright.sync_api import expect

from agents.models import Turn
from audit.models import Entry
from orchestrator.models import Pool, PoolRevision, ScalingDecision, Worker
from tests.browser.room import PHONE, Room
from tests.console.everything import Everything
from tests.faces.conftest import Web

TURNS = "agents/turn/"
CUT_OFF = """() => { let place = document.getElementById("result_list");
    while (place && getComputedStyle(place).overflowX === "visible") place = place.parentElement;
    return place ? place.scrollWidth - place.clientWidth : 0; }"""

CUT_CELLS = """() => [...document.querySelectorAll("#result_list tbody :is(td, th)")]
    .filter(cell => cell.scrollHeight > cell.clientHeight + 1).map(cell => cell.textContent)"""


@pytest.fixture
def tasks(web: Web) -> list[str]:
    """55 of two tenants, newest first, with a turn each: two pages of a list."""
    parties = [web.scene.bob if number % 3 == 0 else web.scene.ann for number in range(55)]
    made = [party.task() for party in parties]
    for state, some in (("succeeded", made[:40]), ("running", made[40:50])):
        Turn.objects.across_tenants().filter(task__in=some).update(state=state, attempts=1, worker="a41f09c2e7b1")
    return [str(task.pk) for task in made][::-1]


def end(task: str) -> str:
    """As lists write an id."""
    return f"…{task[-12:]}"


def test_a_list_by_keyboard_and_by_eye(room: Room, tasks: list[str]) -> None:
    page = room.page
    room.open(TURNS)
    room.look("list")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    expect(page.get_by_text("55 turns", exact=True)).to_be_visible()
    page.get_by_role("link", name="Next", exact=True).press("Enter")
    expect(page.get_by_role("link", name=end(tasks[-1]), exact=True)).to_be_visible()
    page.get_by_role("link", name="First", exact=True).press("Enter")
    expect(page.get_by_role("link", name=end(tasks[0]), exact=True)).to_be_visible()

    page.get_by_role("button", name="Filters").press("Enter")
    sheet = page.get_by_role("dialog", name="Filters")
    expect(sheet).to_be_visible()
    room.look("filters")
    page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()
    expect(page.get_by_role("button", name="Filters")).to_be_focused()

    page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    room.open(TURNS)
    expect(page.get_by_role("link", name=end(tasks[0]), exact=True)).to_be_visible()
    page.get_by_role("button", name="Navigation").click()
    navigation = page.locator("#nav-sidebar-apps")
    expect(navigation.get_by_role("link", name="Turns", exact=True)).to_have_attribute("aria-current", "page")
    page.get_by_role("button", name="Account of").click()
    page.get_by_role("button", name="Dark").click()
    expect(page.locator("html")).to_have_class("dark")
    page.get_by_role("button", name="Light").click()
    expect(page.locator("html")).not_to_have_class("dark")


def test_a_filter_is_typed_and_kept_and_the_list_taken_away(
    room: Room, web: Web, tasks: list[str], tmp_path: Path
) -> None:
    page = room.page
    room.open(TURNS)
    page.get_by_role("button", name="Filters").click()
    sheet = page.get_by_role("dialog", name="Filters")
    sheet.get_by_role("combobox", name="By tenant").click()
    page.get_by_role("searchbox").last.fill(web.scene.bob.tenant.slug)
    page.get_by_role("option", name=web.scene.bob.tenant.slug).click()
    sheet.get_by_role("button", name="Apply Filters").click()
    expect(page.get_by_text("19 turns", exact=True)).to_be_visible()

    page.get_by_text("Saved filters").press("Enter")
    page.get_by_label("Save this list's filter").fill("Bob's turns")
    page.get_by_label("share with all staff").check()
    page.get_by_role("button", name="Save filter").press("Enter")
    expect(page.get_by_text("You and other staff find this list as")).to_be_visible()
    expect(page.get_by_text("19 turns", exact=True)).to_be_visible()
    room.open(TURNS)
    page.get_by_text("Saved filters (1)").click()
    room.look("saved-filters")
    page.get_by_role("link", name="Bob's turns").click()
    expect(page.get_by_text("19 turns", exact=True)).to_be_visible()

    page.get_by_text("Saved filters (1)").click()
    page.get_by_role("button", name="Delete the saved filter").click()
    question = page.get_by_role("dialog", name="Are you sure?")
    expect(question).to_contain_text("is deleted, for other staff as well.")
    question.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("is deleted.")).to_be_visible()
    expect(page.get_by_text("19 turns", exact=True)).to_be_visible()

    page.get_by_text("Export").press("Enter")
    with page.expect_download() as coming:
        page.get_by_role("button", name="JSON lines").click()
    coming.value.save_as(tmp_path / "file")
    lines = [json.loads(line) for line in (tmp_path / "file").read_text().splitlines()]
    assert [line["tenant"] for line in lines] == [web.scene.bob.tenant.slug] * 19


def test_anything_is_found_from_anywhere(room: Room, web: Web, tasks: list[str]) -> None:
    page = room.page
    room.open("tenants/tenant/")
    page.keyboard.press("Control+k")
    palette = page.get_by_role("dialog", name="Find anything")
    expect(palette).to_be_visible()
    page.keyboard.type(web.scene.pool.slug)
    expect(palette.get_by_role("link", name=web.scene.pool.slug)).to_be_visible()
    room.look("search")
    page.get_by_role("searchbox", name="Find anything").fill(tasks[7])
    expect(palette.get_by_role("link", name=tasks[7])).to_be_visible()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(tasks[7]))
    expect(page.get_by_role("navigation", name="Breadcrumb")).to_contain_text("Tasks")


def furnished(web: Web) -> None:
    """A row of everything, and some with much to say."""
    Everything.make()
    now, pool = timezone.now(), web.scene.pool
    why = {
        "code": "engine_error",
        "message": "The engine ended: CUDA out of memory. Tried to allocate 2.00 GiB on GPU 1.",
    }
    web.scene.ann.task(
        state="failed", error=why, attempts=3, prompt_tokens=112_345, completion_tokens=12_345, finished_at=now
    )
    Worker.objects.create(
        pool=pool, revision=PoolRevision.objects.first(), runtime="docker", slots=256, gpus=["GPU-5c2f77aa", "GPU-90b1e3d4"],
        started_at=now - timedelta(hours=2), ready_at=now - timedelta(hours=1), stopped_at=now, state="failed",
        error="It was killed by a signal (9): was its memory full? The last line of its log says no more than that.",
    )  # fmt: skip


@pytest.mark.timeout(400)  # some sixty pages
def test_no_list_and_no_form_bars_anybody(room: Room, web: Web, tasks: list[str]) -> None:
    """Each list of the console, each form for something new, and two pages of objects, at a desk: no list is cut off there."""
    furnished(web)
    request = RequestFactory().get("/")
    request.user = User.objects.get(username__startswith="operator")
    paths = []
    for model, one in admin.site._registry.items():
        label = f"{model._meta.app_label}/{model._meta.model_name}/"
        paths += [label, *([f"{label}add/"] if one.has_add_permission(request) else [])]
    pool = Pool.objects.get(pk=web.scene.pool.pk)
    paths += [f"agents/task/{tasks[0]}/change/", f"orchestrator/pool/{pool.pk}/change/"]
    found = []
    for path in paths:
        room.open(path)
        if cut_off := room.page.evaluate(CUT_OFF):
            found.append(f"{path}: its rows are {cut_off} px wider than their place")
        try:
            room._axe(path)
        except AssertionError as barrier:
            found.append(str(barrier))
    assert not found, "\n".join(found)


def test_what_is_long_is_whole_on_a_phone(room: Room, web: Web) -> None:
    why = "No start before 13:22:35 UTC: 3 workers in a row failed at the start or soon after. " * 3
    ScalingDecision.objects.create(pool=web.scene.pool, at=timezone.now(), current=0, desired=1, reason=why, signals={})
    entry = Entry.objects.create(
        actor_kind="staff", actor="ann", action="pool.change", before={"model": "x" * 90}, after={"model": "y" * 90}
    )
    web.scene.ann.task()
    room.page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    room.open(TURNS)
    expect(room.page.locator("#result_list tbody td").first).to_have_attribute("data-label", "Task")
    room.open("orchestrator/scalingdecision/")
    expect(room.page.get_by_text(why.strip())).to_be_visible()
    assert room.page.evaluate(CUT_CELLS) == []
    room.open(f"audit/entry/{entry.pk}/change/")
    expect(room.page.get_by_role("region", name="Before and after")).to_be_visible()
    assert room.page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
