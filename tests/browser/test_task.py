"""The page of a task in the browser: it is followed live, over a reload, cancelled, run again, and copied as commands."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from django.utils import timezone
from playwright.sync_api import expect

from agents.models import Task
from agents.tools.results import Result, event_of
from audit.models import Entry
from taskqueue.messages import ClaimedTurn, Delta, Finish, TaskError, ToolCall
from taskqueue.sync_client import Queue
from tests.browser.room import PATIENCE_MS, Room
from tests.console.task_scene import ANSWER, telling
from tests.faces.conftest import Web
from tests.gpu_worker.conftest import WorkerProcess
from tests.processes import Process

SAID = " ".join(f"word-{number:04d}" for number in range(2000))
Work = Callable[..., WorkerProcess]


@pytest.fixture
def work(web: Web, redis_url: str, tmp_path: Path, start: Callable[..., Process]) -> Iterator[Work]:
    """Starts a worker of the scene's pool that says a script, a token of four characters in each step; a recorder stands by."""
    workers: list[WorkerProcess] = []
    start("record")

    def begin(script: str, *, step_s: float) -> WorkerProcess:
        settings = {
            "redis_url": redis_url, "pool": web.scene.pool.slug, "engine": "scripted", "worker_id": f"w{len(workers)}",
            "engine_args": json.dumps({"script": [script], "step_base_s": step_s}), "lease_s": 2,
        }  # fmt: skip
        environment = {f"OPSITE_{name.upper()}": str(value) for name, value in settings.items()}
        workers.append(WorkerProcess(environment, tmp_path / f"worker-{len(workers)}.log"))
        return workers[-1]

    yield begin
    for worker in workers:
        worker.end()


def submitted(web: Web, *, max_tokens: int = 4000) -> str:
    body = {"agent": "poet", "input": "Count.", "parameters": {"max_tokens": max_tokens}}
    answer = httpx.post(f"{web.url}/api/v1/tasks", json=body, headers=web.scene.ann.headers, timeout=60)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def streamed(room: Room) -> str:
    """The answer as the page has it."""
    return room.page.locator("#stream li.text pre").first.inner_text()


def after(said: str, more: int) -> str:
    """The word that comes so many words behind this beginning of SAID."""
    return f"word-{said.count('word-') + more:04d}"


def test_it_is_followed_over_a_reload_and_cancelled(room: Room, web: Web, work: Work) -> None:
    task = submitted(web)
    room.open(f"tasks/{task}/")
    expect(room.page.locator("#stream-state")).to_have_text("live: queued")
    work(SAID, step_s=0.04)
    stream = room.page.locator("#stream")
    expect(stream).to_contain_text("word-0010")
    before = streamed(room)
    room.page.reload()
    expect(stream).to_contain_text(after(before, 20))
    text = streamed(room)
    assert len(text) > len(before) > 0
    assert SAID.startswith(before)
    assert SAID.startswith(text)
    for hidden in ("true", "false"):  # the tab goes to the back, and comes to the front again
        room.page.evaluate(f"Object.defineProperty(document, 'hidden', {{value: {hidden}, configurable: true}})")
        room.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(stream).to_contain_text(after(text, 15))
    assert SAID.startswith(streamed(room))
    expect(room.page.locator("[data-live=head] .badge")).to_have_text("running")
    room.look("task-live")
    room.page.get_by_role("button", name="Cancel…").click()
    room.page.get_by_role("button", name="Cancel the task").click()
    expect(room.page.get_by_text("The task is being cancelled")).to_be_visible()
    expect(room.page.locator("[data-live=head] .badge")).to_have_text("cancelled")
    expect(room.page.get_by_role("button", name="Run again…")).to_be_visible()
    row = Task.objects.across_tenants().get(pk=task)
    assert row.state == "cancelled"
    assert SAID.startswith(row.output)
    assert Entry.objects.get(action="task.cancel").object_id == task


def test_an_ended_one_is_told_and_run_again(room: Room, web: Web, work: Work) -> None:
    task = telling(web.scene)
    room.open(f"tasks/{task.pk}/")
    expect(room.page.get_by_role("list", name="The stream, as recorded")).to_contain_text(ANSWER)
    room.look("task")
    room.page.get_by_role("button", name="Run again…").click()
    expect(room.page.get_by_role("dialog")).to_contain_text("begins with the same input")
    room.page.get_by_role("button", name="Run it again").click()
    expect(room.page.get_by_text("This new task runs")).to_be_visible()
    work(ANSWER, step_s=0.001)
    expect(room.page.locator("#stream")).to_contain_text(ANSWER)
    expect(room.page.locator("#stream-state")).to_have_text("ended: succeeded")
    expect(room.page.locator("[data-live=head] .badge")).to_have_text("succeeded")
    again = Task.objects.for_tenant(web.scene.ann.tenant).get(rerun_of=task)
    assert room.page.url.endswith(f"/console/tasks/{again.pk}/")
    assert (again.output, again.state) == (ANSWER, "succeeded")
    room.open(f"tasks/{task.pk}/")
    expect(room.page.get_by_role("button", name="Run again…")).to_be_disabled()


def test_it_is_copied_as_commands_that_run(room: Room, web: Web, work: Work) -> None:
    task = submitted(web)
    hard = "It's $HOME `date` \"so\" \\n\nEND_OF_TASK\n%s 'x' — ü 🙂"
    Task.objects.across_tenants().filter(pk=task).update(input=[{"role": "user", "content": hard}])
    work("Done.", step_s=0.001)
    room.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    room.open(f"tasks/{task}/")
    room.page.get_by_role("button", name="Copy as curl").click()
    expect(room.page.locator("#copied")).to_have_text("Copied.")
    copied = room.page.evaluate("navigator.clipboard.readText()")
    environment = {"PATH": os.environ["PATH"], "OPSITE_URL": web.url, "OPSITE_KEY": web.scene.ann.key}
    ran = subprocess.run(
        ["sh", "-c", copied], env=environment, capture_output=True, text=True, timeout=PATIENCE_MS / 1000, check=True
    )  # fmt: skip
    made, events = ran.stdout.split("\n", 1)
    row = Task.objects.for_tenant(web.scene.ann.tenant).get(pk=made)
    assert row.input == [{"role": "user", "content": hard}]
    assert row.agent_id == web.scene.ann.agent.pk
    assert '"state":"succeeded"' in events


def test_the_list_leads_to_the_page(room: Room, web: Web) -> None:
    scene = web.scene
    task = telling(scene)
    error = {"code": "poison", "message": "2 workers were lost while they ran this task."}
    scene.bob.task(state="failed", error=error, finished_at=timezone.now(), started_at=timezone.now(), attempts=2)
    scene.bob.task(state="running", started_at=timezone.now(), attempts=1)
    scene.ann.task(state="cancelled", finished_at=timezone.now())
    scene.ann.task()
    room.open("agents/task/")
    expect(room.page.get_by_role("link", name=f"…{str(task.pk)[-12:]}")).to_be_visible()
    room.look("tasks")
    room.open(f"agents/task/?agent__id__exact={scene.bob.agent.pk}&error_code=poison")
    expect(room.page.get_by_text(error["message"])).to_be_visible()
    expect(room.page.get_by_role("link", name=f"…{str(task.pk)[-12:]}")).to_have_count(0)
    room.open("agents/task/?created_at__within=24h&state=succeeded")
    room.page.get_by_role("link", name=f"…{str(task.pk)[-12:]}").click()
    expect(room.page.get_by_role("list", name="The stream, as recorded")).to_contain_text(ANSWER)


def test_calls_and_take_overs_are_told_as_they_come(room: Room, web: Web, redis_url: str) -> None:
    """What a worker and the effects would tell, told by hand."""
    task = submitted(web)
    queue = Queue(redis_url, web.scene.pool.slug)
    try:
        (turn,) = queue.claim("w1", 1, lease_s=60)
        room.open(f"tasks/{task}/")
        stream = room.page.locator("#stream")
        assert queue.emit("w1", [delta(turn, "Let me ")]) == []
        expect(stream.locator("li.text pre")).to_have_text("Let me ")
        queue.release("w1", [turn.turn])
        (turn,) = queue.claim("w2", 1, lease_s=60)
        expect(stream.locator("li.attempt")).to_contain_text("handed it over")
        assert queue.emit("w2", [delta(turn, "look.")]) == []
        call = ToolCall("c1", "weather", '{"city":"Oslo"}')
        ended = Finish(
            turn=turn.turn, task=task, attempt=turn.attempt, seq=turn.seq + 2, state="succeeded", text="Let me look.",
            tool_calls=(call,), goes_on=True,
        )  # fmt: skip
        assert queue.finish("w2", [ended]) == []
        expect(stream.locator("li.call")).to_contain_text('"city": "Oslo"')
        assert queue.note(
            task, "tool_result", event_of("c1", "weather", Result("<b>rain</b>", is_error=True)), once="c1"
        )
        expect(stream.locator("li.result")).to_contain_text("weather failed")
        expect(stream.locator("li.result pre")).to_have_text("<b>rain</b>")
        expect(room.page.locator("#stream-state")).to_have_text("live: waiting")
        error = TaskError("turn_limit", "It had as many turns as it may.")
        assert queue.end_task(task, turn=turn.turn, state="failed", error=error)
        expect(stream.locator("li.outcome")).to_contain_text("turn_limit: It had as many turns as it may.")
        assert "".join(stream.locator("li.text pre").all_inner_texts()) == "Let me look."
    finally:
        queue.close()


def delta(turn: ClaimedTurn, text: str) -> Delta:
    return Delta(turn=turn.turn, attempt=turn.attempt, seq=turn.seq + 1, text=text, token_ids=(1,))
