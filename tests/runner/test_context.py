"""Contexts that are too long, from request to record: trimmed, or summarised before the answer, whoever is killed between."""

from __future__ import annotations

import signal
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from agents.conversations import append_message
from agents.models import Conversation, Message, Summary, Task
from agents.summaries import REQUEST, summary_message
from tests.runner.conftest import Stage, agent
from tests.runner.test_agent_loop import events_of, kinds, recorded, row_of, submit, waiting

pytestmark = pytest.mark.django_db(transaction=True)
WORDS = "of kings and crowns and queens and swords and storms and ships at sea"


def said(number: int) -> str:
    return f"message {number} {WORDS}"


def conversation(stage: Stage, messages: int) -> Conversation:
    made = stage.scene.ann.conversation()
    for number in range(messages):
        append_message(conversation=made, role="assistant" if number % 2 else "user", content=said(number))
    return made


async def steps(stage: Stage, task: str) -> list[dict[str, Any]]:
    async with stage.web.client(stage.scene.ann.headers) as client:
        answer = await client.get(f"/api/v1/tasks/{task}/steps")
        assert answer.status_code == 200
        found: list[dict[str, Any]] = answer.json()
        return found


def told(events: list[tuple[int, str, Any]], kind: str) -> list[Any]:
    return [data for _, one, data in events if one == kind]


def text_of(events: list[tuple[int, str, Any]]) -> str:
    return "".join(data["text"] for data in told(events, "text"))


async def test_a_long_conversation_is_trimmed_and_the_count_is_shown(stage: Stage) -> None:
    await sync_to_async(agent)(stage.scene, slug="keeper", context={"strategy": "trim", "max_tokens": 200})
    held = await sync_to_async(conversation)(stage, 30)
    stage.worker("Fine.")
    task = await submit(stage, "keeper", conversation=str(held.pk))
    events = await events_of(stage, task)
    assert (kinds(events), text_of(events)) == (["queued", "running", "context", "outcome"], "Fine.")
    (use,) = told(events, "context")
    assert use["limit"] == 200
    assert use["prompt_tokens"] <= 100  # half of it is the room that the answer may have at most
    assert (use["messages_sent"] + use["messages_dropped"], use["messages_sent"] % 2) == (31, 1)
    row = await recorded(stage, task)
    assert (row["context"], row["usage"]["prompt_tokens"]) == (use, use["prompt_tokens"])
    assert [(one["context"], one["summarises"]) for one in await steps(stage, task)] == [(use, None)]
    for rule, code in [
        ({"strategy": "fail"}, "context_length_exceeded"),
        ({"keep_last": 20}, "context_too_long"),
    ]:
        task = await submit(stage, "keeper", conversation=str(held.pk), context=rule)
        events = await events_of(stage, task)
        assert (events[-1][2]["state"], events[-1][2]["error"]["code"]) == ("failed", code)
        assert (await recorded(stage, task))["context"] == told(events, "context")[0]
    async with stage.web.client(stage.scene.ann.headers) as client:
        body = {"model": "poet", "input": "Go.", "conversation": str(held.pk)}
        for more, truncation in [({"truncation": "auto"}, "auto"), ({}, "disabled")]:
            made = (await client.post("/v1/responses", json={**body, **more})).json()
            kept = (await client.get(f"/v1/responses/{made['id']}")).json()
            assert (made["truncation"], kept["truncation"], made["status"]) == (truncation, truncation, "completed")
        refused = (
            await client.post("/v1/responses", json={**body, "model": "keeper", "truncation": "disabled"})
        ).json()
        assert refused["error"]["code"] == "context_length_exceeded", refused
        for context, field in [
            ({"strategy": "cut"}, "context.strategy"),
            ({"keep_last": 0}, "context.keep_last"),
            ({"strategy": "summarise"}, "context.strategy"),
            ({"keep": 3}, "context"),
        ]:
            body = {"agent": "poet", "input": "Go.", "context": context}
            answer = (await client.post("/api/v1/tasks", json=body)).json()
            assert (answer["status"], answer["errors"][0]["field"]) == (400, field), answer
        body = {"agent": "poet", "prompt": "Go.", "context": {"strategy": "trim"}}
        assert (await client.post("/api/v1/tasks", json=body)).json()["errors"][0]["field"] == "context"


async def test_a_summary_is_written_once_before_the_answer_and_used_by_later_tasks(stage: Stage) -> None:
    context = {"strategy": "summarise", "max_tokens": 400, "keep_last": 3, "summary_tokens": 30}
    await sync_to_async(agent)(stage.scene, slug="keeper", context=context)
    held = await sync_to_async(conversation)(stage, 20)
    effects = stage.effects()
    effects.send_signal(signal.SIGSTOP)
    worker = stage.worker("Fine.", **{REQUEST: ["They spoke of kings."]})
    task = await submit(stage, "keeper", "Go.", conversation=str(held.pk))
    await waiting(stage, task)  # the summary is written; who would go on with it is dead by now, and so is its worker
    effects.kill()
    worker.signal(signal.SIGKILL)
    stage.worker("Fine.", **{REQUEST: ["A second summary."]})
    stage.effects()
    events = await events_of(stage, task)
    assert (kinds(events), text_of(events)) == (
        ["queued", "running", "context", "summary", "waiting", "queued", "running", "context", "outcome"],
        "Fine.",
    )
    (summary,) = told(events, "summary")
    assert (summary["state"], summary["messages"]) == ("succeeded", 18)
    assert summary["usage"]["completion_tokens"] > 0
    row = await recorded(stage, task)
    first, second = await steps(stage, task)
    assert (first["output"], first["state"], first["summarises"]["count"]) == ("They spoke of kings.", "succeeded", 18)
    assert second["summarises"] is None
    assert row["usage"]["prompt_tokens"] == first["prompt_tokens"] + second["prompt_tokens"]
    kept = {"role": "system", "content": "Summary of what was said before in this conversation:\nThey spoke of kings."}
    assert summary_message("They spoke of kings.") == kept
    asked = (await Task.objects.for_tenant(held.tenant_id).aget(pk=task)).input
    assert [message["content"] for message in asked] == [kept["content"], said(18), said(19), "Go."]
    assert row["context"]["messages_sent"] == 4
    again = await submit(stage, "keeper", "And now?", conversation=str(held.pk))
    assert "summary" not in kinds(await events_of(stage, again))
    asked = (await Task.objects.for_tenant(held.tenant_id).aget(pk=again)).input
    assert [message["content"] for message in asked] == [
        kept["content"], said(18), said(19), "Go.", "Fine.", "And now?",
    ]  # fmt: skip
    assert [one.text async for one in Summary.objects.for_tenant(held.tenant_id)] == ["They spoke of kings."]
    async with stage.web.client(stage.scene.ann.headers) as client:
        body = {"model": "keeper", "messages": [{"role": "user", "content": "Alone."}]}
        chat = (await client.post("/v1/chat/completions", json=body)).json()  # without a conversation it is trimmed
        assert chat["choices"][0]["message"]["content"] == "Fine."
    await recorded(stage, again)
    assert (
        await Message.objects.for_tenant(held.tenant_id).filter(conversation=held).acount() == 24
    )  # all that was said


async def test_a_summary_that_fails_is_told_and_the_task_is_trimmed(stage: Stage) -> None:
    """The limit leaves no room for the wish for a summary itself."""
    context = {"strategy": "summarise", "max_tokens": 40}
    await sync_to_async(agent)(stage.scene, slug="hasty", context=context)
    held = await sync_to_async(conversation)(stage, 20)
    stage.effects()
    stage.worker("Fine.")
    task = await submit(stage, "hasty", "Go.", conversation=str(held.pk))
    events = await events_of(stage, task)
    (summary,) = told(events, "summary")
    assert (summary["state"], summary["error"]["code"]) == ("failed", "context_too_long")
    assert (events[-1][2]["state"], text_of(events)) == ("succeeded", "Fine.")
    assert told(events, "context")[-1]["messages_dropped"] > 0
    row = await recorded(stage, task)
    assert (row["state"], row["error"]) == ("succeeded", None)
    assert [one["state"] for one in await steps(stage, task)] == ["failed", "succeeded"]
    assert await Summary.objects.for_tenant(held.tenant_id).acount() == 0
    assert (await row_of(stage, task))["context"] == told(events, "context")[-1]
