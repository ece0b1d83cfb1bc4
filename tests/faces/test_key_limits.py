"""What an API key may have waiting and running, as its application meets it; and what a reader is told of a second attempt."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import openai
import pytest
from asgiref.sync import sync_to_async

from tenants.models import ApiKey
from tenants.services import issue_key
from tests.faces.conftest import HandWorker, Web
from tests.faces.test_socket import Client, connect

pytestmark = [pytest.mark.timeout(90), pytest.mark.parametrize("server", ["daphne"], indirect=True)]
TASKS = "/api/v1/tasks"
ASK: dict[str, Any] = {"agent": "poet", "input": "Hello"}


async def key_of_ann(web: Web, **limits: int) -> tuple[ApiKey, dict[str, str]]:
    issued = await sync_to_async(issue_key)(tenant=web.scene.ann.tenant, name="narrow", **limits)
    return issued.key, {"Authorization": f"Bearer {issued.secret}"}


async def test_a_key_s_waiting_limit_is_429_and_the_tenant_s_other_keys_go_on(web: Web, worker: HandWorker) -> None:
    key, headers = await key_of_ann(web, max_waiting=2)
    async with web.client(headers) as narrow, web.client(web.scene.ann.headers) as wide:
        assert [(await narrow.post(TASKS, json=ASK)).status_code for _ in range(2)] == [202, 202]
        refused = await narrow.post(TASKS, json=ASK)
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_waiting")
        assert "2 tasks of this API key" in refused.json()["detail"]
        assert int(refused.headers["retry-after"]) == refused.json()["retry_after_s"] >= 1
        again = await narrow.post(TASKS, json=ASK)  # by what the process remembers
        assert (again.status_code, again.json()["code"]) == (429, "too_many_waiting")
        assert (await wide.post(TASKS, json=ASK)).status_code == 202
        chat = openai.AsyncOpenAI(
            base_url=f"{web.url}/v1", api_key=headers["Authorization"].split()[1], max_retries=0
        )  # fmt: skip
        async with chat:
            with pytest.raises(openai.RateLimitError, match="of this API key"):
                await chat.chat.completions.create(model="poet", messages=[{"role": "user", "content": "Hello"}])
        await worker.claim(2)
        await asyncio.sleep(int(refused.headers["retry-after"]))  # the promise itself
        assert (await narrow.post(TASKS, json=ASK)).status_code == 202
        assert [(await narrow.post(TASKS, json=ASK)).status_code for _ in range(2)] == [202, 429]
        await ApiKey.objects.for_tenant(key.tenant_id).filter(pk=key.pk).aupdate(max_waiting=0)
        async with asyncio.timeout(10):  # within a second, for what the process remembers
            while (await narrow.post(TASKS, json=ASK)).status_code != 202:
                pass


async def test_a_key_s_running_limit_lets_the_tenant_s_other_keys_pass(web: Web, worker: HandWorker) -> None:
    _, headers = await key_of_ann(web, max_running=1)
    async with web.client(headers) as narrow, web.client(web.scene.ann.headers) as wide:
        held_back = [(await narrow.post(TASKS, json={**ASK, "priority": 0})).json()["id"] for _ in range(3)]
        (first,) = await worker.claim()
        assert first.task == held_back[0]
        passing = (await wide.post(TASKS, json=ASK)).json()["id"]
        assert [turn.task for turn in await worker.queue.claim("other", 8, lease_s=60)] == [passing]
        assert (await worker.queue.signals()).held_back == 2
        await worker.end(first)
        assert [turn.task for turn in await worker.queue.claim("other", 8, lease_s=60)] == [held_back[1]]


async def test_a_second_attempt_is_told_to_who_follows_and_changes_no_text(web: Web, worker: HandWorker) -> None:
    hello: Any = {"model": "poet", "messages": [{"role": "user", "content": "Hello"}]}
    async with (
        openai.AsyncOpenAI(base_url=f"{web.url}/v1", api_key=web.scene.ann.key, max_retries=0) as ann,
        connect(web, web.scene.ann.headers) as socket,
        web.client(web.scene.ann.headers) as client,
    ):
        stream = await ann.chat.completions.create(**hello, stream=True)
        (turn,) = await worker.claim()
        watcher = Client(socket)
        await watcher.hear("ready")
        await watcher.say(type="follow", task=turn.task)
        await watcher.hear("following")
        await worker.say(turn, "One ")
        assert await worker.queue.release(worker.name, [turn.turn]) == 1
        (turn,) = await worker.claim()
        worker.used[turn.turn] = turn.seq
        await worker.say(turn, "two")
        await worker.end(turn, "One two")
        said = [c.choices[0].delta.content async for c in stream if c.choices and c.choices[0].delta.content]
        assert said == ["One ", "two"]
        events = (await watcher.events(until=1))[turn.task]
        assert [number for number, _, _ in events] == list(range(1, len(events) + 1))
        assert [data for _, kind, data in events if kind == "attempt"] == [{"attempt": 2, "reason": "handed_over"}]
        lines = (await client.get(f"{TASKS}/{turn.task}/events")).text.splitlines()
        told = lines[lines.index("event: attempt") + 1]
        assert json.loads(told.removeprefix("data: ")) == {"attempt": 2, "reason": "handed_over"}
