"""The bare connection on a real Redis: order, refusals, and what those who wait hear when it is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis import Redis
from redis.exceptions import NoScriptError, ResponseError

from taskqueue.failures import QueueUnavailable
from taskqueue.link import Link


@pytest.fixture
async def link(redis_url: str) -> AsyncIterator[Link]:
    link = Link(redis_url)
    yield link
    await link.aclose()


async def test_many_at_once_get_their_own_answers_over_one_connection(link: Link) -> None:
    answers = await asyncio.gather(*(link.ask("ECHO", f"number {number}") for number in range(500)))
    assert answers == [f"number {number}".encode() for number in range(500)]
    ids = set(await asyncio.gather(*(link.ask("CLIENT", "ID") for _ in range(5))))
    assert len(ids) == 1


async def test_who_goes_away_takes_nobody_else_s_answer(link: Link, pool: str) -> None:
    await link.ask("PING")
    gone = asyncio.create_task(link.ask("ECHO", "for nobody"))
    await asyncio.sleep(0)  # it has asked
    gone.cancel()
    assert await link.ask("ECHO", "mine") == b"mine"
    assert gone.cancelled()


async def test_refusals_stand_in_their_place(link: Link, pool: str) -> None:
    with pytest.raises(NoScriptError):
        await link.ask("EVALSHA", "0" * 40, 0)
    wrong, right = await link.ask_all([("LPUSH", pool), ("ECHO", "still here")])
    assert isinstance(wrong, ResponseError)
    assert right == b"still here"


async def test_a_lost_connection_is_said_and_the_next_command_opens_another(
    link: Link, pool: str, redis: Redis
) -> None:
    mine = await link.ask("CLIENT", "ID")
    waiting = asyncio.create_task(link.ask("BLPOP", pool, 10))
    async with asyncio.timeout(10):
        while not any(int(one["id"]) == mine and "b" in one["flags"] for one in redis.client_list()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert redis.client_kill_filter(_id=mine) == 1
    with pytest.raises(QueueUnavailable, match="connection was lost"):
        await waiting
    assert await link.ask("PING") == b"PONG"


async def test_a_redis_that_owes_an_answer_for_too_long_has_gone(redis_url: str, pool: str) -> None:
    link = Link(redis_url, answer_s=0.2)
    with pytest.raises(QueueUnavailable, match=r"not answered for 0\.2 s"):
        await link.ask("BLPOP", pool, 10)
    assert await link.ask("PING") == b"PONG"
    await link.aclose()


async def test_a_redis_that_was_asked_to_wait_may_take_its_time(redis_url: str, pool: str) -> None:
    link = Link(redis_url, answer_s=2.0)
    assert await link.ask("BLPOP", pool, 2.5, blocks_s=2.5) is None
    await link.aclose()


def test_an_address_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="scheme"):
        Link("somewhere")
