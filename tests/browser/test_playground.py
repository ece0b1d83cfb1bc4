"""The playground as an operator uses it: from an empty console to two answers side by side."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Page, Route, expect

from agents.models import Task
from agents.services import draft_revision
from billing.models import Price
from comparisons.models import InputSet
from taskqueue.messages import ClaimedTurn, Delta, Finish, Usage
from taskqueue.sync_client import Queue
from tenants.models import Tenant
from tests.browser.room import Room
from tests.faces.conftest import PATIENCE_S, Web
from tests.gpu_worker.conftest import WorkerProcess
from tests.processes import Process

SEA = "The sea is wide, and keeps its counsel still; it lends the shore its voice and takes it back. "
CALL = f"<tool_call>{json.dumps({'name': 'calculator', 'arguments': {'expression': '6*7'}})}</tool_call>"
SCRIPT = {
    "script": [SEA * 2],
    "scripts": {"What is 6 times 7?": ["Let me see. " + CALL, "It is {last}."]},
    "step_base_s": 0.03,
}


@pytest.fixture
def speaker(web: Web, start: Callable[..., Process], redis_url: str, tmp_path: Path) -> Iterator[None]:
    """A worker that says what the script has, slowly enough to be watched; a recorder, and who calls tools."""
    for command in ("record", "effects"):
        start(command)
    environment = {
        "OPSITE_REDIS_URL": redis_url,
        "OPSITE_POOL": web.scene.pool.slug,
        "OPSITE_ENGINE": "scripted",
        "OPSITE_ENGINE_ARGS": json.dumps(SCRIPT),
        "OPSITE_WORKER_ID": "speaker",
    }
    worker = WorkerProcess(environment, tmp_path / "worker.log")
    yield
    worker.end()


def choose(page: Page, label: str, text: str) -> None:
    """A row in one of the admin's fields with suggestions."""
    page.locator(f".field-{label} .select2-selection").click()
    page.locator(".select2-search__field").last.fill(text)
    page.locator(".select2-results__option", has_text=text).first.click()


class Hand:
    """A worker whose every word is the test's."""

    def __init__(self, redis_url: str, pool: str) -> None:
        self._queue, self._said = Queue(redis_url, pool), 0
        self._turn: ClaimedTurn | None = None

    def say(self, text: str) -> None:
        """Say it, in a turn that is claimed before the first word."""
        if self._turn is None:
            self._turn = self._claim()
        self._said += 1
        delta = Delta(
            turn=self._turn.turn, attempt=self._turn.attempt, seq=self._turn.seq + self._said, text=text, token_ids=(7,)
        )
        assert self._queue.emit("hand", [delta]) == []

    def end(self, text: str) -> None:
        """The answer is whole, and was this."""
        assert self._turn is not None
        finish = Finish(
            turn=self._turn.turn, task=self._turn.task, attempt=self._turn.attempt, seq=self._turn.seq + self._said + 1,
            state="succeeded", finish_reason="stop", usage=Usage(12, 2), text=text, first_token_ms=time.time_ns() // 1_000_000,
        )  # fmt: skip
        assert self._queue.finish("hand", [finish]) == []
        self._queue.close()

    def _claim(self) -> ClaimedTurn:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if claimed := self._queue.claim("hand", 1, lease_s=PATIENCE_S):
                return claimed[0]
            self._queue.wait_for_work(timeout_s=1)
        raise AssertionError("nothing came to be claimed")


def test_from_an_empty_console_to_an_answer_that_comes_word_by_word(
    room: Room, web: Web, start: Callable[..., Process], redis_url: str
) -> None:
    start("record")
    page, pool = room.page, web.scene.pool.slug
    room.open("tenants/tenant/add/")
    page.get_by_label("Slug").fill("museum")
    page.get_by_label("Name").fill("City Museum")
    page.get_by_role("button", name="Save", exact=True).click()
    page.locator("#result_list").get_by_role("link", name="museum", exact=True).click()
    expect(page.get_by_text("No key yet")).to_be_visible()
    page.get_by_role("link", name="Make a key…").click()
    page.get_by_label("Name").fill("front desk")
    page.get_by_role("button", name="Make the key").click()
    expect(page.get_by_label("The key")).to_have_value(re.compile("ops_.{20,}"))
    secret = page.get_by_label("The key").input_value()
    page.get_by_role("link", name="Done").click()
    expect(page.get_by_role("row", name="front desk")).to_contain_text("valid")
    assert secret not in page.content()
    room.open("agents/agent/add/")
    choose(page, "tenant", "museum")
    page.get_by_label("Slug").fill("guide")
    page.get_by_label("Name").fill("Guide")
    page.locator("select[name=pool]").select_option(label=pool)
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("was added successfully")).to_be_visible()

    room.open("playground/")
    page.get_by_label("Tenant").fill("muse")
    expect(page.locator("#tenants-found option[value=museum]")).to_be_attached()
    page.get_by_label("Tenant").fill("museum")
    left = page.get_by_role("region", name="Left side")
    agent = left.get_by_label("Agent")
    agent.fill("guide")
    agent.blur()
    expect(left.get_by_label("Revision")).to_contain_text("r1 on")
    page.get_by_label("Message").fill("What is the sea?")
    hand = Hand(redis_url, pool)
    page.get_by_role("button", name="Run").click()
    hand.say("The sea is")
    answer = page.locator(".said .assistant .words")
    expect(answer).to_have_text("The sea is")
    expect(page.locator(".pane .state").first).to_contain_text("Running")
    hand.say(" wide.")
    expect(answer).to_have_text("The sea is wide.")
    hand.end("The sea is wide.")
    expect(page.locator(".pane .state").first).to_contain_text("succeeded (stop)")
    expect(page.locator(".figures").first).to_contain_text("tokens in12")
    task = Task.objects.for_tenant(Tenant.objects.get(slug="museum")).get()
    assert (task.output, task.api_key_id, task.submitted_by[:8]) == ("The sea is wide.", None, "operator")
    expect(page.get_by_role("link", name="the task")).to_have_attribute("href", re.compile(str(task.pk)))

    page.get_by_role("button", name="Save as a test input…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name of the new set").fill("seas")
    dialog.get_by_label("Check of the answer").select_option("regex")
    dialog.get_by_label("Expected").fill("sea")
    room.look("playground-save")
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_role("link", name="the set")).to_be_visible()
    (saved,) = InputSet.objects.for_tenant(task.tenant_id).get(name="seas").items
    assert saved == {"messages": [{"role": "user", "content": "What is the sea?"}], "checks": {"regex": "sea"}}


def test_two_revisions_side_by_side_with_their_tools(room: Room, web: Web, speaker: None) -> None:
    page, party = room.page, web.scene.ann
    Tenant.objects.filter(pk=party.tenant.pk).update(slug="museum", name="City Museum")
    Price.objects.create(pool=web.scene.pool, valid_from=timezone.now() - timedelta(hours=1), input=2, output=8)
    revised: dict[str, Any] = {"tools": [{"builtin": "calculator"}], "params": {"max_tokens": 200}}
    draft_revision(agent=party.agent, tenant=party.tenant, changes=revised, created_by="test")
    brief = {**revised, "params": {"max_tokens": 6}, "tools": []}
    draft_revision(agent=party.agent, tenant=party.tenant, changes=brief, created_by="test")
    room.open("playground/?tenant=museum&agent=poet&revision=2")
    page.get_by_label("Compare two side by side").check()
    left, right = (page.get_by_role("region", name=name) for name in ("Left side", "Right side"))
    expect(left.get_by_label("Revision")).to_have_value("2")
    expect(right.get_by_label("Revision")).to_contain_text("r3 on")
    right.get_by_label("Revision").select_option("3")
    page.get_by_label("Message").fill("What is 6 times 7?")
    page.get_by_text("Parameters and output form").click()
    page.get_by_label("Temperature").fill("0")
    page.get_by_role("button", name="Run").click()
    expect(left.locator(".said")).to_contain_text("result of calculator")
    expect(left.locator(".said .assistant").last).to_contain_text("It is 42.")
    for side in (left, right):
        expect(side.locator(".state")).to_contain_text("succeeded")
    differences = page.get_by_role("table")
    expect(differences.get_by_role("row", name="model calls")).to_contain_text("2")
    expect(differences.get_by_role("row", name="cost")).to_contain_text("USD")
    page.get_by_text("Parameters and output form").click()
    page.get_by_role("heading", name="Left").scroll_into_view_if_needed()
    room.look("playground")
    page.get_by_label("Go on with the conversation").check()
    page.get_by_label("Message").fill("And the sea?")
    page.get_by_role("button", name="Run").click()
    expect(left.locator(".said .assistant").last).to_contain_text("The sea is wide")
    expect(right.locator(".state")).to_contain_text("succeeded")
    newest = Task.objects.for_tenant(party.tenant).filter(revision__number=2).order_by("-created_at").first()
    assert newest is not None
    assert [message["role"] for message in newest.input] == ["user", "assistant", "user"]


def test_a_result_that_could_not_be_fetched_is_asked_for_again(room: Room, web: Web, speaker: None) -> None:
    page, party = room.page, web.scene.ann
    Tenant.objects.filter(pk=party.tenant.pk).update(slug="museum")
    lost: list[str] = []

    def lose_the_first(route: Route) -> None:
        if lost:
            route.continue_()
            return
        lost.append(route.request.url)
        route.abort()

    page.route("**/playground/results/**", lose_the_first)
    room.open("playground/?tenant=museum&agent=poet")
    page.get_by_label("Message").fill("What is the sea?")
    page.get_by_role("button", name="Run").click()
    expect(page.locator(".pane .state").first).to_contain_text("succeeded")
    expect(page.get_by_role("button", name="Run")).to_be_enabled()
    assert len(lost) == 1
    room.faults = [fault for fault in room.faults if "ERR_FAILED" not in fault]  # the one that was lost
