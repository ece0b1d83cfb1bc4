"""The page of a pool: it grows under load, says why, tries a policy, keeps a size that was set by hand until its time is over."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import httpx
from django.utils import timezone
from playwright.sync_api import expect

from agents.models import Task, Turn
from orchestrator import records
from orchestrator.history.book import insert
from orchestrator.history.minutes import Minute
from orchestrator.manual_rows import ManualSize
from orchestrator.models import Pool, PoolRevision, ScalingPolicy, Worker
from orchestrator.policies.demand import Policy
from orchestrator.rehearsal.fleet import Pool as Simulated
from orchestrator.rehearsal.load import Load, load_of
from orchestrator.rehearsal.scaler import Ours
from orchestrator.rehearsal.scene import Moment, Sample, Scene
from orchestrator.rehearsal.speed import speed_of
from orchestrator.replay import Inputs, decided, to_json
from orchestrator.revisions import note_edit
from tests.browser.room import Room
from tests.faces.conftest import Web
from tests.scene import Party
from tests.staff.members import member

GROWN = re.compile("0 → [12]")
PAST_MIN = 330
POLICY = Policy(kind="target_wait", max_workers=6, waiting_per_worker=4, idle_to_zero_s=900.0)


def open_pool(room: Room, pool: Pool, rest: str = "") -> None:
    room.open(f"pools/{pool.slug}/{rest}")
    expect(room.page.get_by_role("status").first).to_have_text("live")


@dataclass
class Keeper(Ours):
    """Keeps the decisions that changed the size, with what they were made from."""

    kept: list[tuple[Inputs, int]] = field(default_factory=list)

    def desired(self, sample: Sample) -> int:
        before = self.decision.desired if self.decision else 0
        signals, now = self.signals(sample), self.begins_at + sample.at
        made = Inputs(policy=self.policy, signals=signals, history=self.history, now=now)
        wanted = super().desired(sample)
        if wanted != before:
            self.kept.append((made, sample.current))
        return wanted


def with_a_past(pool: Pool, *, asked_by: Party | None = None) -> None:
    """Hours as they would have been recorded: quiet at first, then work, a rush, and work again; what the fleet did and why.

    The turns are stored as those of `asked_by`, if one is given.
    """
    dice, first = random.Random(7), int(time.time() // 60 - PAST_MIN) * 60
    minutes = [
        Minute(first + 60 * n, max(0, round(dice.gauss(mean, mean / 5))), 900, 0, 0, 0)
        for n in range(PAST_MIN)
        for mean in [40 if n in range(150, 230) else 14 if n > 40 else 0]
    ]
    load, begins_at = load_of("past", minutes, seed=1, answer_share=0.5)
    load = Load("past", [replace(one, prompt_tokens=1, output_tokens=20) for one in load.requests], load.ends_at)
    scene = Scene(
        slots=4, cold_start_s=45.0, speed=speed_of(turn_s=4.0, slots=4, output_tokens=20), max_workers=6, tick_s=5.0
    )
    keeper = Keeper(POLICY, begins_at=begins_at)
    outcome = Simulated(load, scene, keeper).run()
    timeline = outcome.timeline
    for made, current in keeper.kept:
        records.keep_decision(
            pool, decided(made), inputs=to_json(made), current=current, note="", refusals={}, now=made.now
        )
    insert(
        (pool.pk, replace(minute, most_waiting=_most_waiting(timeline, minute.begins_at - begins_at)))
        for minute in minutes
    )
    Worker.objects.bulk_create(_lives(pool, timeline, begins_at))
    if asked_by is not None:
        _store(pool, asked_by, [begins_at + one.at for one in load.requests], outcome.waits_s, hold_s=16.0)


def _store(pool: Pool, party: Party, came: list[float], waits_s: list[float], *, hold_s: float) -> None:
    """A task of one turn for each that came."""
    revision = party.agent.current_revision
    assert revision is not None
    asked: dict[str, Any] = {
        "tenant": party.tenant,
        "agent": party.agent,
        "revision": revision,
        "pool": pool,
        "input": "hi",
    }
    ends = [records.moment(at + wait_s + hold_s) for at, wait_s in zip(came, waits_s, strict=True)]
    tasks = Task.objects.bulk_create(Task(**asked, state="succeeded", finished_at=end) for end in ends)
    for task, at in zip(tasks, came, strict=True):
        task.created_at = records.moment(at)
    Task.objects.across_tenants().bulk_update(tasks, ["created_at"], batch_size=1000)
    turn: dict[str, Any] = {"tenant": party.tenant, "state": "succeeded"}
    Turn.objects.bulk_create(
        Turn(**turn, task=task, queued_at=task.created_at, claimed_at=end - timedelta(seconds=hold_s), finished_at=end)
        for task, end in zip(tasks, ends, strict=True)
    )


def _most_waiting(timeline: list[Moment], since: float) -> int:
    return max((one.waiting for one in timeline if since <= one.at < since + 60), default=0)


def _lives(pool: Pool, timeline: list[Moment], begins_at: float) -> Iterator[Worker]:
    """Workers' rows that were ready as many as the timeline says."""
    revision, ready = note_edit(pool.pk, now=timezone.now()).current, list[float]()
    for moment in timeline:
        at = begins_at + moment.at
        ready += [at] * (moment.ready - len(ready))
        while len(ready) > moment.ready:
            yield _life(pool, revision, ready.pop(0), at)
    yield from (_life(pool, revision, begun, begins_at + timeline[-1].at) for begun in ready)


def _life(pool: Pool, revision: PoolRevision, ready: float, ended: float) -> Worker:
    return Worker(
        pool=pool, revision=revision, runtime="process", slots=4, state="stopped",
        started_at=records.moment(ready - 45), ready_at=records.moment(ready), stopped_at=records.moment(ended),
    )  # fmt: skip


def load(web: Web, *, tokens: int) -> None:
    """Tasks of two tenants, one of which asks for more."""
    ask = {"agent": "poet", "input": "Tell me of the sea.", "parameters": {"max_tokens": tokens}}
    for party, count in ((web.scene.ann, 20), (web.scene.bob, 12)):
        with httpx.Client(base_url=web.url, headers=party.headers, timeout=30) as client:
            for _ in range(count):
                assert client.post("/api/v1/tasks", json=ask).status_code == 202


def test_a_pool_grows_under_load_and_says_why(room: Room, web: Web, fleet: None) -> None:
    pool, page = web.scene.pool, room.page
    ScalingPolicy.objects.filter(pool=pool).update(
        max_workers=2, waiting_per_worker=4, up_cooldown_s=0.5, down_cooldown_s=2.0
    )
    Pool.objects.filter(pk=pool.pk).update(slots=4)
    with_a_past(pool)
    open_pool(room, pool)
    page.get_by_role("button", name="6h").click()
    load(web, tokens=300)
    expect(page.locator("#ready")).to_contain_text(re.compile(r"^2"))
    workers = page.get_by_role("table", name="Workers")
    expect(workers.locator("span.badge.ready")).to_have_count(2)
    expect(workers.get_by_role("link").first).to_have_attribute("href", re.compile(r"/console/workers/.+/"))
    expect(page.get_by_role("table", name="Whose work it is")).to_contain_text(web.scene.ann.tenant.slug)

    decisions = page.locator("#decisions tr")
    expect(decisions.filter(has_text=GROWN).first).to_be_visible()
    marker = page.get_by_role("button", name=GROWN).last
    marker.hover()
    card = page.locator("#card")
    expect(card).to_contain_text("waiting")
    expect(card).to_contain_text("0 workers starting, 0 ready")
    room.look("pool")

    expect(decisions.first).to_contain_text("No work")  # when it is done the pool shrinks
    marker.focus()
    page.keyboard.press("End")
    expect(card).to_contain_text("No work")
    page.keyboard.press("Home")
    expect(card).to_contain_text(GROWN)

    card.get_by_role("link", name="link to it").click()
    expect(page.locator("#decisions tr[aria-current=true]")).to_contain_text(GROWN)
    expect(card).to_contain_text(GROWN)


def test_a_size_is_kept_and_ends_by_itself(room: Room, web: Web, fleet: None) -> None:
    pool, page = web.scene.pool, room.page
    open_pool(room, pool)
    page.get_by_role("button", name="Set a size…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("whatever the policy, its bounds and its budget say")
    dialog.get_by_label("Workers").fill("1")
    dialog.get_by_label("For minutes").fill("30")
    dialog.get_by_role("button", name="Set a size").click()
    expect(page.get_by_text(re.compile(r"The size is set to 1 until .+; then the policy goes on"))).to_be_visible()
    notices = page.get_by_role("list", name="What keeps the fleet from changing")
    expect(notices).to_contain_text("The size is set to 1 until")
    expect(page.locator("#ready")).to_contain_text(re.compile(r"^1"))
    expect(page.get_by_role("table", name="Decisions in this span")).to_contain_text("The policy wants 0")

    ManualSize.objects.filter(pool=pool).update(set_at=timezone.now() - timedelta(hours=1), until=timezone.now())
    expect(notices).to_be_hidden()
    expect(page.get_by_role("table", name="Decisions in this span")).to_contain_text(
        "The size is no longer set by hand"
    )

    page.get_by_role("button", name="Drain…").click()
    page.get_by_role("dialog").get_by_role("button", name="Drain").click()
    expect(notices).to_contain_text("The pool is drained by operator-")
    expect(page.get_by_role("table", name="Workers")).to_contain_text("No worker lives.")
    page.get_by_role("button", name="Resume…").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Resume…").click()
    page.get_by_role("dialog").get_by_role("button", name="Resume").click()
    expect(page.get_by_text("The fleet follows its policy again.")).to_be_visible()


def test_a_policy_is_tried_on_the_last_day(room: Room, enter: Callable[..., Room], web: Web) -> None:
    pool, page = web.scene.pool, room.page
    Pool.objects.filter(pk=pool.pk).update(slots=4)
    ScalingPolicy.objects.filter(pool=pool).update(kind="target_wait", max_workers=6, idle_to_zero_s=900)
    pool.refresh_from_db()
    with_a_past(pool, asked_by=web.scene.ann)
    open_pool(room, pool)
    page.get_by_label("Minimum workers").fill("2")
    page.get_by_role("button", name="Try on the last day").click()
    compared = page.get_by_role("table", name="What each policy would have come to")
    expect(compared).to_contain_text("worker-hours")
    expect(compared.get_by_role("columnheader", name="as it was")).to_be_visible()
    expect(page.locator("#trial-trust")).to_contain_text("How far to trust it: rehearsed, the present policy comes to")
    expect(page.locator("#trial-notes")).to_contain_text("It covers 5 h 30 min")
    expect(page.locator("#trial")).to_have_text("Tried. Nothing is saved by that.")
    assert ScalingPolicy.objects.get(pool=pool).min_workers == 0
    page.get_by_role("table", name="What each policy would have come to").scroll_into_view_if_needed()
    room.look("pool-policy")

    page.get_by_label("Minimum workers").fill("")
    page.get_by_role("button", name="Try on the last day").click()
    expect(page.locator("#trial")).to_have_text("Some fields are not right.")
    expect(page.locator("#wrong-min_workers")).to_have_text("This field is required.")
    expect(compared).to_be_hidden()  # it is not what the form says now
    assert [fault.split(": ", 1)[1] for fault in room.faults] == [
        "error: Failed to load resource: the server responded with a status of 400 (Bad Request)"
    ]
    room.faults.clear()
    page.get_by_label("Minimum workers").fill("9")
    page.get_by_role("button", name="Save policy").click()
    expect(page.get_by_text("The policy was not saved: see the fields that are marked.")).to_be_visible()
    expect(page.locator("#policy-form [role=alert]")).to_be_focused()
    room.faults.clear()  # 400, again
    page.get_by_label("Minimum workers").fill("2")
    page.get_by_role("button", name="Try on the last day").click()
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#trial")).to_have_text("Stopped.")
    page.get_by_role("button", name="Save policy").click()
    expect(page.get_by_text("The policy is saved")).to_be_visible()
    assert ScalingPolicy.objects.get(pool=pool).min_workers == 2

    other = enter(member("viewer"))
    open_pool(other, pool)
    expect(other.page.get_by_role("button", name="Try on the last day")).to_be_visible()
    assert other.page.get_by_role("button", name="Drain").count() == 0
