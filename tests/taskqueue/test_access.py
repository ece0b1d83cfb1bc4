"""A worker's own user in Redis reaches everything that its work needs, and nothing else: tried key by key, command by command."""

from __future__ import annotations

import re
import signal
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import NoPermissionError, ResponseError

from agents.limits import Limits, bill
from gpu_worker.engines.simulated_text import whole_answer
from orchestrator.credentials import with_user
from taskqueue import calls, entries, keys
from taskqueue.access import BESIDE_SCRIPTS, COMMANDS, WORKER_SCRIPTS, WorkerUsers
from taskqueue.async_budget import AsyncBudget
from taskqueue.async_client import AsyncQueue
from taskqueue.failures import QueueUnavailable
from taskqueue.link import Command, Link
from taskqueue.messages import ChatMessage, Delta, Finish, Submission, TurnBody, Usage, WorkerStatus
from taskqueue.scripts import NAMES, script
from tests.gpu_worker.conftest import StartWorker, outcomes, start_worker, streamed_text, submission, until

__all__ = ["start_worker"]  # a fixture

SHA = script("heartbeat").sha
PASSWORD = "0123abcd"

WITH_A_KEY: dict[str, Callable[[str], Command]] = {
    "blpop": lambda key: (key, 1),
    "del": lambda key: (key,),
    "evalsha": lambda key: (SHA, 1, key),
    "exists": lambda key: (key,),
    "get": lambda key: (key,),
    "hdel": lambda key: (key, "f"),
    "hget": lambda key: (key, "f"),
    "hgetall": lambda key: (key,),
    "hincrby": lambda key: (key, "f", 1),
    "hincrbyfloat": lambda key: (key, "f", 1),
    "hmget": lambda key: (key, "f"),
    "hset": lambda key: (key, "f", "v"),
    "lpush": lambda key: (key, "v"),
    "ltrim": lambda key: (key, 0, 0),
    "publish": lambda key: (key, "m"),
    "sadd": lambda key: (key, "m"),
    "scard": lambda key: (key,),
    "set": lambda key: (key, "v"),
    "sismember": lambda key: (key, "m"),
    "smembers": lambda key: (key,),
    "srem": lambda key: (key, "m"),
    "xadd": lambda key: (key, "*", "f", "v"),
    "xrange": lambda key: (key, "-", "+"),
    "zadd": lambda key: (key, 1, "m"),
    "zrange": lambda key: (key, 0, -1),
    "zrem": lambda key: (key, "m"),
    "zscore": lambda key: (key, "m"),
}
WITHOUT_A_KEY = {"select", "time"}

KINDS = {
    "wait", "active", "service", "left", "arrivals", "turn", "leases", "held", "stop", "deadlines", "workers", "worker", "log",
    "follow", "record", "bell", "running", "max_running", "apart", "wards", "looked",
    "tally",
    "pace", "outlook", "flow", "killed",
}  # fmt: skip
"""Every kind of key that a pool has."""
_KEY = re.compile(r"\bkey\('(\w+):?'")

GLOBAL: list[Command] = [
    ("KEYS", "*"),
    ("SCAN", 0),
    ("RANDOMKEY",),
    ("DBSIZE",),
    ("FLUSHALL",),
    ("FLUSHDB",),
    ("SWAPDB", 0, 1),
    ("CONFIG", "GET", "*"),
    ("CONFIG", "SET", "requirepass", ""),
    ("CONFIG", "REWRITE"),
    ("ACL", "LIST"),
    ("ACL", "WHOAMI"),
    ("ACL", "SETUSER", "default", "nopass"),
    ("SCRIPT", "FLUSH"),
    ("SCRIPT", "LOAD", "return 1"),
    ("SCRIPT", "KILL"),
    ("EVAL", "return 1", 0),
    ("DEBUG", "SLEEP", 0),
    ("SHUTDOWN", "NOSAVE"),
    ("SAVE",),
    ("BGSAVE",),
    ("BGREWRITEAOF",),
    ("REPLICAOF", "127.0.0.1", 1),
    ("MODULE", "LIST"),
    ("MONITOR",),
    ("INFO",),
    ("SLOWLOG", "GET"),
    ("LATENCY", "DOCTOR"),
    ("MEMORY", "STATS"),
    ("COMMAND",),
    ("CLIENT", "LIST"),
    ("CLIENT", "KILL", "TYPE", "normal"),
    ("MULTI",),
    ("PSUBSCRIBE", "*"),
    ("PUBSUB", "CHANNELS"),
]


@pytest.fixture
def users(redis: Redis) -> WorkerUsers:
    users = WorkerUsers(redis)
    users.load_scripts()
    return users


@pytest.fixture
def admitted(users: WorkerUsers, redis_url: str) -> Iterator[Callable[[str], str]]:
    """Makes a user of a pool and gives its address."""
    made: list[str] = []

    def admit(pool: str) -> str:
        user = f"worker:test:{uuid.uuid4()}"
        users.allow(user, pool=pool, password=PASSWORD)
        made.append(user)
        return with_user(redis_url, user=user, password=PASSWORD)

    yield admit
    users.forbid(made)


@asynccontextmanager
async def speaking(url: str) -> AsyncIterator[Link]:
    """A worker's own way to speak to Redis."""
    link = Link(url)
    try:
        yield link
    finally:
        await link.aclose()


async def fill(queue: AsyncQueue) -> None:
    """Make every kind of key: turns that wait, run, must stop, are suspects and have ended, of three tenants."""

    def turn(number: int, tenant: str, deadline_ms: int = 0) -> Submission:
        body = TurnBody(messages=(ChatMessage("user", "a secret"),))
        name, task = f"t{number}", f"k{number}"
        return Submission(
            turn=name, task=task, tenant=tenant, body=body, inbox="web-1", deadline_ms=deadline_ms, max_running=9
        )

    await queue.enqueue([turn(number, "three") for number in (4, 5)])
    for worker in ("v1", "v2"):  # both are lost: two suspects, of which a worker gets one
        await queue.claim(worker, 2, lease_s=0)
        await queue.reap()
    await queue.enqueue([turn(number, "one") for number in range(3)])
    held = [one for one in await queue.claim("w", 9, lease_s=3600) if one.tenant == "one"]
    await queue.emit("w", [Delta(turn="t0", attempt=1, seq=held[0].seq + 1, text="a secret", token_ids=(1,))])
    ends = Finish(
        turn="t1", task="k1", attempt=1, seq=held[1].seq + 1, state="succeeded", finish_reason="stop", usage=Usage(1, 1)
    )
    await queue.finish("w", [ends])
    await queue.cancel(["t2"])
    status = WorkerStatus(worker="w", phase="ready", engine="simulated", model="", slots=3, started_ms=1)
    await queue.heartbeat(status, ["t0"], lease_s=3600)
    await queue.enqueue([turn(3, "two", deadline_ms=4_000_000_000_000)])
    await queue.follow("k0", "web-1")
    await queue.dismiss("v2")
    await queue.link.ask("SET", keys.outlook(queue.pool), "{}")


async def spend(link: Link, tenant: str) -> None:
    """Make every kind of key of a tenant's budget, and the one by which a web process sees that Redis takes something in."""
    budget, key = AsyncBudget(link), uuid.uuid4()
    at, limits = datetime.now(UTC), Limits(9, 9, 9)
    owed = bill(tenant=uuid.UUID(tenant), limits=limits, key=key, key_limits=limits, at=at, requests=1, tokens=1)
    for name, _ in owed.totals():
        await budget.count(tenant, name, 0)
    assert (await budget.reserve(tenant, owed.meters, month_end_ms=owed.month.end_ms)).verdict == "admitted"
    await link.ask("SET", "opsite:ready:web-1", "1", "PX", 60_000)


def of_pool(redis: Redis, pool: str) -> dict[str, bytes]:
    """All of a pool's keys and what they hold."""
    names = [key.decode() for key in redis.scan_iter(f"{keys.prefix(pool)}*", count=1000)]
    return {name: redis.dump(name) or b"" for name in sorted(names)}


def test_what_workers_may_run_is_exactly_this() -> None:
    """One command more is a decision: say here how it is tried on another pool's keys."""
    assert set(WITH_A_KEY) | WITHOUT_A_KEY == COMMANDS
    assert BESIDE_SCRIPTS & {"eval", "script", "keys", "scan", "acl", "config"} == set()


def test_every_kind_of_key_is_tried() -> None:
    """Those that the scripts touch, with the inbox's channel; `fill` is held against the same list."""
    touched = {kind for name in NAMES for kind in _KEY.findall(script(name).text)}
    assert touched == KINDS | {"inbox"}


async def test_another_pools_keys_are_out_of_reach_whatever_is_tried(
    redis: Redis, redis_url: str, pool: str, admitted: Callable[[str], str]
) -> None:
    mine, theirs = AsyncQueue(redis_url, pool), AsyncQueue(redis_url, f"{pool}-2")
    await fill(mine)
    await fill(theirs)
    before = of_pool(redis, theirs.pool)
    prefix = keys.prefix(theirs.pool)
    assert {name.removeprefix(prefix).split(":")[0] for name in before} == KINDS
    own_log = keys.log(pool, "k0")
    async with speaking(admitted(pool)) as link:
        assert await link.ask("XRANGE", own_log, "-", "+")
        tenant = str(uuid.uuid4())
        async with speaking(redis_url) as service:
            await spend(service, tenant)
        beside = [key.decode() for key in redis.scan_iter(f"{keys.budget(tenant)}*", count=1000)]
        assert len(beside) == 6
        names = [
            *before,
            *beside,
            "opsite:ready:web-1",
            prefix,
            keys.inbox(theirs.pool, "web-1"),
            keys.prefix(pool)[:-1],
            "opsite:",
            "anything",
        ]
        for name in names:
            tries: list[Command] = [(word, *arguments(name)) for word, arguments in WITH_A_KEY.items()]
            tries += [("DEL", own_log, name), ("EXISTS", own_log, name)]
            tries += [("EVALSHA", script(one).sha, 1, name, "w", 1, 1000) for one in NAMES]
            for tried, answer in zip(tries, await link.ask_all(tries), strict=True):
                assert isinstance(answer, NoPermissionError), (tried, answer)
        for channel in (keys.inbox(theirs.pool, "web-1"), keys.inbox(pool, "web-1")):
            with pytest.raises(NoPermissionError):
                await link.ask("SUBSCRIBE", channel)
        assert await link.ask("XRANGE", own_log, "-", "+")
    assert of_pool(redis, theirs.pool) == before
    for queue in (mine, theirs):
        await queue.aclose()


@pytest.mark.parametrize("command", GLOBAL, ids=lambda command: "-".join(map(str, command[:2])))
async def test_what_concerns_all_of_redis_is_refused(
    pool: str, admitted: Callable[[str], str], command: Command
) -> None:
    async with speaking(admitted(pool)) as link:
        with pytest.raises(
            ResponseError, match=r"no permissions|DEBUG command not allowed"
        ):  # Redis 7 allows it to nobody
            await link.ask(*command)


def others_calls() -> list[calls.Call[Any]]:
    """What submitters, followers, the orchestrator and the recorder run."""
    body = TurnBody(messages=(ChatMessage("user", "forged"),))
    record = entries.read_record(
        b"1-0", {b"r": calls._encoder.encode({"kind": "finished", "turn": "t0", "task": "k0", "attempt": 1})}
    )
    return [
        calls.enqueue(Submission(turn="forged", task="forged", tenant="two", body=body)),
        calls.follow("k0", "web-2"),
        calls.reap(max_attempts=1, max_losses=1, lease_s=5),
        calls.signals(),
        calls.place("t3"),
        calls.acknowledge([record], keep_log_s=1),
    ]


@pytest.mark.parametrize("call", others_calls(), ids=lambda call: call.script.name)
async def test_the_scripts_of_others_fail_in_a_workers_hands(
    redis: Redis, redis_url: str, pool: str, admitted: Callable[[str], str], call: calls.Call[Any]
) -> None:
    queue = AsyncQueue(redis_url, pool)
    await fill(queue)
    redis.script_load(call.script.text)
    before = of_pool(redis, pool)
    async with speaking(admitted(pool)) as link:
        with pytest.raises(ResponseError, match=r"can't run this command|no permissions"):
            await link.ask("EVALSHA", call.script.sha, 1, keys.prefix(pool), *call.args)
    assert of_pool(redis, pool) == before
    await queue.aclose()


async def test_a_worker_process_does_all_its_work_as_its_own_user_until_that_is_deleted(
    redis_url: str, pool: str, users: WorkerUsers, start_worker: StartWorker
) -> None:
    """Claim, stream, be told to stop, hand over in mid-sentence, go on from the log, finish, and leave."""
    names = [f"worker:test:{pool}:{number}" for number in (1, 2)]
    urls = [with_user(redis_url, user=name, password=PASSWORD) for name in names]
    for name in names:
        users.allow(name, pool=pool, password=PASSWORD)
    queue = AsyncQueue(redis_url, pool)
    long, cancelled = (submission(number, max_tokens=150, ignore_eos=True) for number in (1, 2))
    await queue.enqueue([long, cancelled])
    first = start_worker("first", redis_url=urls[0], engine_args='{"step_base_s": 0.02}')

    async def streams(one: Submission) -> bool:
        return len(await queue.read_log(one.task)) > 5

    await until(lambda: streams(cancelled))
    assert await queue.cancel([cancelled.turn]) == ["stopping"]
    assert (await outcomes(queue, 1))[cancelled.turn].state == "cancelled"
    await until(lambda: streams(long))
    first.signal(signal.SIGTERM)
    assert first.wait() == 0
    assert (await queue.signals()).workers == ()
    second = start_worker("second", redis_url=urls[1])
    ended = (await outcomes(queue, 1))[long.turn]
    assert (ended.state, ended.attempt, ended.text) == ("succeeded", 2, whole_answer(long.body).text)
    assert await streamed_text(queue, long.task) == ended.text
    second.signal(signal.SIGTERM)
    assert second.wait() == 0
    for worker in (first, second):
        assert PASSWORD not in worker.stderr
        assert "answer" not in worker.stderr
    users.forbid(names)
    for url in urls:
        async with speaking(url) as link:
            with pytest.raises(QueueUnavailable, match="WRONGPASS"):
                await link.ask("XRANGE", keys.log(pool, long.task), "-", "+")
    await queue.aclose()


async def test_redis_hangs_up_on_a_user_that_is_deleted(
    pool: str, users: WorkerUsers, admitted: Callable[[str], str], redis: Redis
) -> None:
    url = admitted(pool)
    async with speaking(url) as link:
        assert await link.ask("EXISTS", keys.bell(pool)) == 0
        (mine,) = [name for name in users.names("worker:test:") if name.replace(":", "%3A") in url]
        users.forbid([mine, "worker:test:nobody"])
        with pytest.raises(QueueUnavailable):
            await link.ask("EXISTS", keys.bell(pool))
        with pytest.raises(QueueUnavailable, match="WRONGPASS"):
            await link.ask("EXISTS", keys.bell(pool))


async def test_scripts_that_redis_has_lost_are_waited_for(
    redis: Redis, pool: str, users: WorkerUsers, admitted: Callable[[str], str]
) -> None:
    queue = AsyncQueue(admitted(pool), pool)
    assert await queue.claim("w", 1, lease_s=1) == []
    redis.script_flush()
    with pytest.raises(QueueUnavailable, match="has lost the script 'claim'"):
        await queue.claim("w", 1, lease_s=1)
    users.load_scripts()
    assert await queue.claim("w", 1, lease_s=1) == []
    assert all(redis.script_exists(*(script(name).sha for name in WORKER_SCRIPTS)))
    await queue.aclose()


def test_redis_is_asked_for_a_password_by_everybody(users: WorkerUsers) -> None:
    assert not users.anyone_may_enter()
