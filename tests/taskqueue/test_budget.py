"""Tenants' budgets on a real Redis: all meters or none, over any number of clients, and nothing left behind."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator

import pytest
from redis import Redis

from taskqueue import keys
from taskqueue.async_budget import COUNTED_S, AsyncBudget
from taskqueue.buckets import NEVER, Meter, Reserved
from taskqueue.keys import BadTenantName
from taskqueue.link import Link

MONTH_S = 1000.0


@pytest.fixture
def tenant() -> str:
    return str(uuid.uuid4())


@pytest.fixture
async def budgets(redis_url: str) -> AsyncIterator[list[AsyncBudget]]:
    """Two processes' clients."""
    links = [Link(redis_url) for _ in range(2)]
    yield [AsyncBudget(link) for link in links]
    for link in links:
        await link.aclose()


def requests(limit: int, cost: int = 1, owner: str = "") -> Meter:
    return Meter("minute", f"requests{owner}", limit, cost)


def month(limit: int, cost: int) -> Meter:
    return Meter("month", "month-2026-11", limit, cost)


def left(redis: Redis, tenant: str) -> set[str]:
    prefix = keys.budget(tenant)
    return {name.decode().removeprefix(prefix) for name in redis.keys(f"{prefix}*")}


async def reserve(budget: AsyncBudget, tenant: str, *meters: Meter) -> Reserved:
    return await budget.reserve(tenant, meters, month_end_ms=round((time.time() + MONTH_S) * 1000))


async def test_many_clients_share_one_limit(budgets: list[AsyncBudget], tenant: str) -> None:
    began = time.monotonic()
    answers = await asyncio.gather(*(reserve(budgets[nth % 2], tenant, requests(30)) for nth in range(200)))
    leaked = int((time.monotonic() - began) / 2) + 1
    admitted = sum(answer.verdict == "admitted" for answer in answers)
    assert 30 <= admitted <= 30 + leaked
    other = await reserve(budgets[0], str(uuid.uuid4()), requests(30))
    assert (other.verdict, other.readings[0].remaining) == ("admitted", 29)


async def test_all_meters_take_or_none(budgets: list[AsyncBudget], redis: Redis, tenant: str) -> None:
    ours, key = requests(10), requests(1, owner=":key")
    first = await reserve(budgets[0], tenant, ours, key)
    assert [reading.remaining for reading in first.readings] == [9, 0]
    refused = await reserve(budgets[0], tenant, ours, key)
    assert (refused.verdict, refused.readings[0].wait_ms) == ("refused", 0)
    assert 59_000 < refused.readings[1].wait_ms <= 60_000
    another = await reserve(budgets[0], tenant, ours, requests(1, owner=":other"))
    assert (another.verdict, another.readings[0].remaining) == ("admitted", 8)  # the refused one took nothing


async def test_what_never_fits_is_told_so_and_leaves_nothing(
    budgets: list[AsyncBudget], redis: Redis, tenant: str
) -> None:
    answer = await reserve(budgets[0], tenant, requests(10), Meter("minute", "tokens", 100, 101))
    assert (answer.verdict, [reading.wait_ms for reading in answer.readings]) == ("refused", [0, NEVER])
    assert left(redis, tenant) == set()


async def test_what_is_given_back_leaves_nothing(budgets: list[AsyncBudget], redis: Redis, tenant: str) -> None:
    await reserve(budgets[0], tenant, requests(10), Meter("minute", "tokens", 100, 60))
    assert left(redis, tenant) == {"requests", "tokens"}
    assert 0 < redis.pttl(f"{keys.budget(tenant)}tokens") <= 36_000  # and goes by itself when it has leaked out
    await budgets[1].settle(tenant, [requests(10, -1), Meter("minute", "tokens", 100, -60)])
    assert left(redis, tenant) == set()


async def test_a_month_is_counted_before_it_is_spent(budgets: list[AsyncBudget], redis: Redis, tenant: str) -> None:
    total = month(100, 30)
    assert await reserve(budgets[0], tenant, requests(10), total) == Reserved("uncounted", ())
    await budgets[0].settle(tenant, [total])  # what is not counted will be
    assert left(redis, tenant) == set()
    await budgets[0].count(tenant, total.name, 50)
    await budgets[1].count(tenant, total.name, 7)  # too late: somebody counted already
    admitted = await reserve(budgets[1], tenant, requests(10), total)
    assert (admitted.verdict, admitted.readings[1].remaining) == ("admitted", 20)
    refused = await reserve(budgets[0], tenant, requests(10), total)
    assert (refused.verdict, refused.readings[0].remaining, refused.readings[1].remaining) == ("refused", 9, 20)
    assert MONTH_S * 900 < refused.readings[1].wait_ms < MONTH_S * 1000 + 100  # rounded, by another clock
    await budgets[0].settle(tenant, [month(100, -10)])
    assert (await reserve(budgets[0], tenant, total)).verdict == "admitted"
    assert 0 < redis.ttl(f"{keys.budget(tenant)}{total.name}") <= COUNTED_S


@pytest.mark.parametrize("name", ["", "{x}", "a:b", "A"])
def test_names_that_would_break_keys_are_refused(name: str) -> None:
    with pytest.raises(BadTenantName):
        keys.budget(name)
