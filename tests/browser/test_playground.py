"""The playground as an operator uses it: from an empty console to two answers side by side."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from agents.models import Agent, Task
from comparisons.models import InputSet
from tenants.models import Tenant
from tests.browser.room import Room
from tests.faces.conftest import Web
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


def test_from_a_new_tenant_to_two_answers_side_by_side(room: Room, web: Web, speaker: None) -> None:
    page, pool = room.page, web.scene.pool.slug
    room.open("tenants/tenant/add/")
    page.get_by_label("Slug").fill("museum")
    page.get_by_label("Name").fill("City Museum")
    page.get_by_role("button", name="Save", exact=True).click()
    room.open("agents/agent/add/")
    choose(page, "tenant", "museum")
    page.get_by_label("Slug").fill("guide")
    page.get_by_label("Name").fill("Guide")
    page.get_by_label("Pool").select_option(label=web.scene.pool.slug)
    page.get_by_label("Params").fill('{"max_tokens": 120}')
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("was added successfully")).to_be_visible()
    room.open("tenants/museum/")
    page.get_by_role("link", name="Make a key…").click()
    page.get_by_label("Name").fill("front desk")
    page.get_by_role("button", name="Make the key").click()
    expect(page.get_by_label("The key")).to_have_value(lambda_free_key())
    page.get_by_role("link", name="Done").click()
    expect(page.get_by_role("row", name="front desk")).to_contain_text("valid")
