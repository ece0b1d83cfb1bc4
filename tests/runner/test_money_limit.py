"""A limit of money as it holds: between turns, in a turn, for work that was handed over, and for a turn that Redis has lost."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db.models import Sum

from agents.models import Task, Turn
from billing.models import UsageHour
from tests.billing.conftest import price
from tests.runner.conftest import Stage, agent, call
from tests.runner.test_agent_loop import events_of, recorded, submit

pytestmark = pytest.mark.django_db(transaction=True)
MILLION = "1000000"
ADD = call("calculator", expression="1+1")
TOKENS = -(-len(ADD) // 4)
"""What the scripted engine makes of it, at one unit of money each."""


async def cost_of(**of: Any) -> Decimal:
    found = await UsageHour.objects.across_tenants().filter(**of).aaggregate(cost=Sum("cost"))
    return found["cost"] or Decimal(0)


async def turns_of(task: str) -> list[Turn]:
    return [turn async for turn in Turn.objects.across_tenants().filter(task=task).order_by("number")]


async def test_no_task_costs_more_than_its_agent_allows(stage: Stage) -> None:
    scene, builtin = stage.scene, {"builtin": "calculator"}
    await sync_to_async(price)(scene.pool, datetime.now(UTC), output=MILLION)
    await sync_to_async(scene.pool.refresh_from_db)()
    make = sync_to_async(agent)
    await make(scene, builtin, limits={"max_cost": 2 * TOKENS}, slug="reached")
    await make(scene, builtin, limits={"max_cost": 2 * TOKENS + 3}, slug="cut")
    await make(scene, builtin, slug="free")
    hand_off = call("hand_off", agent="free", message="Add")
    handed = -(-len(hand_off) // 4)
    limit = handed + 3 * TOKENS
    await make(scene, {"builtin": "hand_off", "agents": ["free"]}, limits={"max_cost": limit}, slug="boss")
    stage.effects()
    stage.worker("?", Add=[ADD], Delegate=[hand_off, "Done: {last}"])
    reached, cut, boss = await asyncio.gather(
        submit(stage, "reached", "Add"), submit(stage, "cut", "Add"), submit(stage, "boss", "Delegate")
    )
    for task in (reached, cut, boss):
        await events_of(stage, task)

    row = await recorded(stage, reached)
    assert (row["state"], row["error"]["code"], len(await turns_of(reached))) == ("failed", "cost_limit", 2)
    assert row["error"]["message"] == f"The task cost {2 * TOKENS} USD; its agent's limit is {2 * TOKENS} USD."
    assert await cost_of(agent__slug="reached") == 2 * TOKENS

    row = await recorded(stage, cut)  # the third call was cut, so it is none
    assert (row["state"], row["finish_reason"], row["output"]) == ("succeeded", "length", ADD[:12])
    assert await cost_of(agent__slug="cut") == 2 * TOKENS + 3

    row = await recorded(stage, boss)
    assert (row["state"], row["error"]["code"]) == ("failed", "cost_limit")
    child = await Task.objects.across_tenants().aget(parent_call__task=boss)
    await recorded(stage, str(child.pk))
    await child.arefresh_from_db()
    assert (child.error or {})["code"] == "cost_limit"
    assert "handed this one over" in (child.error or {})["message"]
    assert (await cost_of(agent__slug="free"), await cost_of(agent__slug="boss")) == (3 * TOKENS, handed)
    allowances = [turn.allowance["left"] // 10**12 for turn in await turns_of(str(child.pk)) if turn.allowance]
    assert allowances == [3 * TOKENS, 2 * TOKENS, TOKENS]


async def test_a_prompt_that_costs_more_than_is_left_is_not_read(stage: Stage) -> None:
    scene = stage.scene
    await sync_to_async(price)(scene.pool, datetime.now(UTC), input=MILLION, output=MILLION)
    await sync_to_async(scene.pool.refresh_from_db)()
    await sync_to_async(agent)(scene, limits={"max_cost": "0.5"}, slug="poor")
    stage.worker("A long story.")
    task = await submit(stage, "poor", "Tell me.")
    events = await events_of(stage, task)
    assert (events[-1][1], events[-1][2]["error"]["code"]) == ("outcome", "cost_limit")
    await recorded(stage, task)
    assert await cost_of(agent__slug="poor") == 0


async def test_a_turn_that_redis_has_lost_comes_back_with_what_it_may_cost(stage: Stage, redis_url: str) -> None:
    from redis import Redis

    scene = stage.scene
    await sync_to_async(price)(scene.pool, datetime.now(UTC), output=MILLION)
    await sync_to_async(scene.pool.refresh_from_db)()
    await sync_to_async(agent)(scene, limits={"max_cost": 2}, slug="poor")
    task = await submit(stage, "poor", "Tell me.")
    with Redis.from_url(redis_url) as redis:
        redis.flushdb()
    stage.worker("A long story.")
    row = await recorded(stage, task)
    assert (row["state"], row["finish_reason"], row["output"]) == ("succeeded", "length", "A long s")
