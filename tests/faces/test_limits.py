"""Limits over two real web processes that share nothing but the servers."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import openai
import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone
from redis import Redis

from agents.models import Message, Task, Turn
from orchestrator.models import Pool
from taskqueue import keys
from tenants.models import ApiKey, Tenant
from tenants.services import issue_key
from tests.faces.conftest import HandWorker, Web, await_ready, free_port, until
from tests.scene import Party, Scene

pytestmark = pytest.mark.timeout(120)
TASKS = "/api/v1/tasks"
ASK: dict[str, Any] = {"agent": "poet", "input": "Hello"}
ASK_TOKENS = 6
"""What the estimate says of `ASK`: a quarter of its characters, half of the agent's 8 tokens, and one."""


@pytest.fixture
def webs(live_scene: Scene, start: Callable[..., subprocess.Popen[bytes]]) -> list[Web]:
    """Daphne and uvicorn, on one database and one Redis."""
    begun = []
    for server in ("daphne", "uvicorn"):
        port = free_port()
        begun.append(
            Web(f"http://127.0.0.1:{port}", start("serve", "--port", str(port), "--server", server), live_scene)
        )
    for web in begun:
        await_ready(web.url, web.process)
    return begun


class Clients:
    """A tenant's application that knows both processes, and takes them in turn."""

    def __init__(self, clients: list[httpx.AsyncClient]) -> None:
        self._clients, self._asked = clients, 0

    async def post(self, ask: dict[str, Any] = ASK, **headers: str) -> httpx.Response:
        self._asked += 1
        client = self._clients[self._asked % len(self._clients)]
        return await client.post(TASKS, json=ask, headers={name.replace("_", "-"): v for name, v in headers.items()})

    async def flood(self, count: int, **headers: str) -> list[httpx.Response]:
        return await asyncio.gather(*(self.post(**headers) for _ in range(count)))


@pytest.fixture
async def clients(webs: list[Web]) -> AsyncIterator[Callable[[dict[str, str]], Clients]]:
    async with AsyncExitStack() as stack:
        pairs = {}

        def make(headers: dict[str, str]) -> Clients:
            pairs[str(headers)] = [web.client(headers) for web in webs]
            for client in pairs[str(headers)]:
                stack.push_async_callback(client.aclose)
            return Clients(pairs[str(headers)])

        yield make


async def limit(party: Party, **limits: int) -> None:
    await Tenant.objects.filter(pk=party.tenant.pk).aupdate(**limits)


def statuses(answers: list[httpx.Response]) -> Counter[int]:
    return Counter(answer.status_code for answer in answers)


def left_in_budget(redis: Redis, party: Party) -> set[str]:
    prefix = keys.budget(str(party.tenant.pk))
    return {name.decode().removeprefix(prefix) for name in redis.keys(f"{prefix}*")}


def _debt(redis: Redis, party: Party, name: str) -> float:
    """What was in a bucket when it was last spent of."""
    stored = redis.get(f"{keys.budget(str(party.tenant.pk))}{name}") or b"0 0"
    return int(stored.split()[0]) / 60_000


async def rows_of(party: Party) -> tuple[int, int, int]:
    scoped = (model.objects.for_tenant(party.tenant) for model in (Task, Turn, Message))
    return tuple([await rows.acount() for rows in scoped])  # type: ignore[return-value]


async def test_requests_per_minute_hold_over_two_processes(
    live_scene: Scene, clients: Callable[[dict[str, str]], Clients], worker: HandWorker
) -> None:
    await limit(live_scene.ann, requests_per_minute=15)
    ann, bob = clients(live_scene.ann.headers), clients(live_scene.bob.headers)
    began = time.monotonic()
    answers = await ann.flood(60)
    leaked = int((time.monotonic() - began) / 4) + 1
    counted = statuses(answers)
    assert 15 <= counted[202] <= 15 + leaked
    assert counted[202] + counted[429] == 60
    assert (await bob.post()).status_code == 202  # one tenant's limit is not another's
    for answer in answers:
        assert answer.headers["x-ratelimit-limit-requests"] == "15"
        if answer.status_code == 429:
            assert answer.json()["code"] == "rate_limit_exceeded"
            assert answer.headers["x-ratelimit-remaining-requests"] == "0"
            assert 1 <= int(answer.headers["retry-after"]) <= 4
    remaining = {int(answer.headers["x-ratelimit-remaining-requests"]) for answer in answers if answer.is_success}
    assert set(range(15)) <= remaining  # each was told what was left by itself
    assert await rows_of(live_scene.ann) == (counted[202], counted[202], 0)
    assert (await worker.queue.signals()).waiting == counted[202] + 1


async def test_after_retry_after_it_is_accepted(
    live_scene: Scene, clients: Callable[[dict[str, str]], Clients]
) -> None:
    await limit(live_scene.ann, requests_per_minute=40, max_waiting=100)
    ann = clients(live_scene.ann.headers)
    refused = next(answer for answer in await ann.flood(50) if answer.status_code == 429)
    await asyncio.sleep(int(refused.headers["retry-after"]))  # the promise itself
    assert (await ann.post()).status_code == 202


async def test_tokens_are_reserved_and_corrected_when_the_turn_ends(
    live_scene: Scene,
    clients: Callable[[dict[str, str]], Clients],
    worker: HandWorker,
    start: Callable[..., subprocess.Popen[bytes]],
    redis: Redis,
) -> None:
    start("record")
    await limit(live_scene.ann, tokens_per_minute=4500)
    ann = clients(live_scene.ann.headers)
    large = {**ASK, "parameters": {"max_tokens": 2000}}  # reserves 1002
    answers = [await ann.post(large) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [202, 202, 202, 202, 429]
    assert answers[-1].json()["code"] == "rate_limit_exceeded"
    assert "tokens per minute" in answers[-1].json()["detail"]
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 7
    await worker.serve(4, "short")  # 5 tokens each
    await until(lambda: _debt(redis, live_scene.ann, "tokens") <= 4 * 5)
    answer = await ann.post()
    assert answer.status_code == 202
    assert 4500 - 4 * 5 - ASK_TOKENS <= int(answer.headers["x-ratelimit-remaining-tokens"]) <= 4500 - ASK_TOKENS
    never = await ann.post({**ASK, "parameters": {"max_tokens": 10_000}})
    assert (never.status_code, never.json()["code"]) == (413, "over_token_limit")
    assert "retry-after" not in never.headers


async def test_a_key_s_limit_holds_within_the_tenant_s(
    live_scene: Scene, clients: Callable[[dict[str, str]], Clients]
) -> None:
    await limit(live_scene.ann, requests_per_minute=8)
    issue = sync_to_async(issue_key)
    narrow = (await issue(tenant=live_scene.ann.tenant, name="narrow", requests_per_minute=3)).secret
    wide = clients(live_scene.ann.headers)
    freed = clients({"Authorization": f"Bearer {narrow}"})
    answers = await freed.flood(12)
    assert 3 <= statuses(answers)[202] <= 4
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert "of this API key" in refused.json()["detail"]
    assert refused.headers["x-ratelimit-limit-requests"] == "3"
    assert 1 <= int(refused.headers["retry-after"]) <= 20
    rest = statuses(await wide.flood(12))[202]  # the tenant's other key has what that one left of the tenant's 8
    assert 4 <= rest <= 6
    await limit(live_scene.ann, requests_per_minute=0, max_waiting=100)
    await ApiKey.objects.for_tenant(live_scene.ann.tenant).filter(name="narrow").aupdate(requests_per_minute=0)
    async with asyncio.timeout(10):
        while (await freed.post()).status_code != 202:
            pass


async def test_a_refused_request_leaves_nothing_behind(
    live_scene: Scene, clients: Callable[[dict[str, str]], Clients], redis: Redis, worker: HandWorker
) -> None:
    """Refused by the queue, after its reservation and its commit; and refused before both."""
    await limit(live_scene.ann, max_waiting=1, requests_per_minute=1000, tokens_per_minute=100_000)
    ann = clients(live_scene.ann.headers)
    conversation = await sync_to_async(live_scene.ann.conversation)()
    first = await ann.post()
    assert first.status_code == 202
    before = {name.decode() for name in redis.keys("*")}
    ask = {**ASK, "conversation": str(conversation.pk)}
    answers = [*await asyncio.gather(*(ann.post(ask) for _ in range(20)))]
    assert statuses(answers) == {429: 20}
    assert {answer.json()["code"] for answer in answers} == {"too_many_waiting"}
    assert await rows_of(live_scene.ann) == (1, 1, 0)
    assert {name.decode() for name in redis.keys("*")} <= before
    assert _debt(redis, live_scene.ann, "requests") <= 1  # what the first one took, less what has leaked
    assert _debt(redis, live_scene.ann, "tokens") <= ASK_TOKENS
    await worker.serve(1, "x")
    await limit(live_scene.ann, max_waiting=10, tokens_per_minute=5)
    async with asyncio.timeout(10):  # within a second, for what the processes remember
        while (answer := await ann.post()).status_code != 413:
            assert answer.status_code in {202, 429}


async def test_the_official_client_reads_the_headers(live_scene: Scene, webs: list[Web], worker: HandWorker) -> None:
    await limit(live_scene.ann, requests_per_minute=2, tokens_per_minute=1000)
    async with openai.AsyncOpenAI(
        base_url=f"{webs[0].url}/v1", api_key=live_scene.ann.key, max_retries=0
    ) as ann, asyncio.TaskGroup() as group:  # fmt: skip
        group.create_task(worker.serve(2, "Hi"))
        hello: Any = {"model": "poet", "messages": [{"role": "user", "content": "Hello"}]}
        raw = await ann.chat.completions.with_raw_response.create(**hello)
        assert raw.parse().choices[0].message.content == "Hi"
        said = {name: raw.headers[f"x-ratelimit-{name}"] for name in ("limit-requests", "remaining-requests")}
        said |= {name: raw.headers[f"x-ratelimit-{name}"] for name in ("limit-tokens", "remaining-tokens")}
        assert said == {
            "limit-requests": "2",
            "remaining-requests": "1",
            "limit-tokens": "1000",
            "remaining-tokens": str(1000 - ASK_TOKENS),
        }
        assert raw.headers["x-ratelimit-reset-requests"] == "30s"
        assert raw.headers["x-ratelimit-reset-tokens"] == f"{ASK_TOKENS * 60}ms"
        streamed = await ann.chat.completions.with_raw_response.create(**hello, stream=True)
        assert streamed.headers["x-ratelimit-remaining-requests"] == "0"
        assert [chunk async for chunk in streamed.parse()]
        with pytest.raises(openai.RateLimitError) as refused:
            await ann.chat.completions.create(**hello)
        assert refused.value.code == "rate_limit_exceeded"
        assert 1 <= int(refused.value.response.headers["retry-after"]) <= 30


async def test_a_pool_sheds_load_before_it_is_full_and_leaves_places(
    live_scene: Scene, clients: Callable[[dict[str, str]], Clients], worker: HandWorker
) -> None:
    await Pool.objects.filter(pk=live_scene.pool.pk).aupdate(max_waiting=10)
    ann, bob = clients(live_scene.ann.headers), clients(live_scene.bob.headers)
    answers = await ann.flood(30)
    assert statuses(answers) == {202: 8, 503: 22}  # four fifths
    refused = next(answer for answer in answers if answer.status_code == 503)
    assert refused.json()["code"] == "pool_busy"
    assert 1 <= int(refused.headers["retry-after"]) <= 10  # as long as the oldest has waited
    assert (await bob.post()).status_code == 202  # the flood is felt by who makes it
    assert await rows_of(live_scene.ann) == (8, 8, 0)
    assert (await worker.queue.signals()).waiting == 9
    await worker.serve(9, "x")
    async with asyncio.timeout(10):
        while (await ann.post()).status_code != 202:
            pass


async def test_a_running_limit_passes_the_tenant_over(
    live_scene: Scene, clients: Callable[[dict[str, str]], Clients], worker: HandWorker
) -> None:
    await limit(live_scene.ann, max_running=2)
    ann, bob = clients(live_scene.ann.headers), clients(live_scene.bob.headers)
    assert statuses(await ann.flood(4)) == {202: 4}
    ours = await worker.claim(2)
    assert await worker.queue.claim("other", 8, lease_s=60) == []
    assert statuses(await bob.flood(3)) == {202: 3}
    theirs = await worker.queue.claim("other", 8, lease_s=60)
    assert {turn.tenant for turn in theirs} == {str(live_scene.bob.tenant.pk)}
    assert len(theirs) == 3
    waiting = asyncio.create_task(worker.queue.wait_for_work(timeout_s=30))
    await worker.end(ours[0])
    assert await waiting  # who has a free slot is told
    assert len(await worker.queue.claim("other", 8, lease_s=60)) == 1
    await worker.queue.release("hand", [ours[1].turn])
    (again,) = await worker.queue.claim("other", 8, lease_s=60)
    assert again.tenant == str(live_scene.ann.tenant.pk)


async def test_fifty_equal_requests_cost_one_and_are_answered_over_the_limit(
    live_scene: Scene, clients: Callable[[dict[str, str]], Clients]
) -> None:
    await limit(live_scene.ann, requests_per_minute=60)
    ann = clients(live_scene.ann.headers)
    answers = await ann.flood(50, idempotency_key="same")
    assert statuses(answers) == {202: 50}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert await rows_of(live_scene.ann) == (1, 1, 0)
    another = await ann.post()
    assert int(another.headers["x-ratelimit-remaining-requests"]) >= 58  # the other 49 were given back
    await limit(live_scene.ann, requests_per_minute=1)
    async with asyncio.timeout(10):
        while (await ann.post()).status_code != 429:
            pass
    again = await ann.post(idempotency_key="same")
    assert (again.status_code, again.json()["id"]) == (202, answers[0].json()["id"])
    other = await ann.post({**ASK, "input": "other"}, idempotency_key="same")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


async def test_an_idempotency_key_is_free_again_after_a_day(
    live_scene: Scene, clients: Callable[[dict[str, str]], Clients]
) -> None:
    ann = clients(live_scene.ann.headers)
    first = (await ann.post(idempotency_key="daily")).json()["id"]
    tasks = Task.objects.for_tenant(live_scene.ann.tenant)
    await tasks.filter(pk=first).aupdate(created_at=timezone.now() - timedelta(hours=23, minutes=59))
    assert (await ann.post(idempotency_key="daily")).json()["id"] == first
    await tasks.filter(pk=first).aupdate(created_at=timezone.now() - timedelta(hours=24))
    other = {**ASK, "input": "another body"}
    answers = await asyncio.gather(*(ann.post(other, idempotency_key="daily") for _ in range(50)))
    assert statuses(list(answers)) == {202: 50}
    (second,) = {answer.json()["id"] for answer in answers}
    assert second != first
    assert await rows_of(live_scene.ann) == (2, 2, 0)
    assert (await ann.post(idempotency_key="daily")).status_code == 422  # the key is the second body's now


async def test_tokens_per_month(live_scene: Scene, clients: Callable[[dict[str, str]], Clients], redis: Redis) -> None:
    """Counted from Postgres, the first time and after Redis lost it; the last month's tasks do not count."""
    await limit(live_scene.ann, tokens_per_month=1000)
    now = timezone.now()
    usage = {"prompt_tokens": 900, "completion_tokens": 1000 - 900 - 2 * ASK_TOKENS - 1}
    done = {"state": "succeeded", "finished_at": now, "estimated_tokens": 5000}
    await sync_to_async(live_scene.ann.task)(**done, **usage)
    old = await sync_to_async(live_scene.ann.task)(**done, **usage)
    await (
        Task.objects.for_tenant(live_scene.ann.tenant)
        .filter(pk=old.pk)
        .aupdate(created_at=now.astimezone(UTC).replace(day=1) - timedelta(days=2))
    )
    ann, bob = clients(live_scene.ann.headers), clients(live_scene.bob.headers)
    answers = await ann.flood(10)
    assert statuses(answers) == {202: 2, 429: 8}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.json()["code"] == "insufficient_quota"
    month_end = (datetime.now(UTC).replace(day=28) + timedelta(days=4)).replace(day=1, hour=0, minute=0, second=0)
    assert abs((month_end - datetime.now(UTC)).total_seconds() - int(refused.headers["retry-after"])) < 10
    assert (await bob.post()).status_code == 202
    (name,) = left_in_budget(redis, live_scene.ann)
    total = f"{keys.budget(str(live_scene.ann.tenant.pk))}{name}"
    assert redis.get(total) == b"999"
    redis.delete(total)
    assert (await ann.post()).status_code == 429
    assert redis.get(total) == b"999"  # what is reserved for tasks that run counts as well
