"""What one claimed turn costs Redis, at a given number of waiting turns and of tenants that they belong to."""

from __future__ import annotations

import random
import statistics
import uuid
from itertools import count

import redis

from taskqueue.connections import connect
from taskqueue.messages import Finish, Submission, TurnBody, Usage
from taskqueue.sync_client import Queue

WORKER = "bench"
TURNS = 4
"""Turns per claim: few, so that a line of ten stays a line."""
WARM = 20


def claim_cost(url: str, *, waiting: int, tenants: int, claims: int) -> float:
    """Microseconds of Redis' time per turn, by its own account of the script's run; the median of so many claims.

    After each claim the turns end and as many new ones come, so that the line keeps its length.
    """
    connection, chance, numbers = connect(url), random.Random(1), count()
    connection.flushall()
    queue = Queue(connection, f"bench-{uuid.uuid4().hex[:8]}")

    def enqueue(many: int) -> None:
        queue.enqueue([_turn(next(numbers), tenants, chance) for _ in range(many)])

    for start in range(0, waiting, 1000):
        enqueue(min(1000, waiting - start))
    costs = []
    for _ in range(WARM + claims):
        connection.config_resetstat()
        turns = queue.claim(WORKER, TURNS, lease_s=3600)
        costs.append(_script_us(connection) / len(turns))
        served = [Usage(chance.randrange(20), chance.randrange(200)) for _ in turns]
        queue.finish(
            WORKER,
            [
                Finish(turn=turn.turn, task=turn.task, attempt=1, seq=turn.seq + 1, state="succeeded", usage=usage)
                for turn, usage in zip(turns, served, strict=True)
            ],
        )
        queue.acknowledge(queue.read_records(), keep_log_s=0.001)
        enqueue(len(turns))
    connection.flushall()
    connection.close()
    return statistics.median(costs[WARM:])


def _script_us(connection: redis.Redis) -> float:
    statistic = connection.info("commandstats")
    return float(sum(statistic[name]["usec"] for name in ("cmdstat_evalsha", "cmdstat_eval") if name in statistic))


def _turn(number: int, tenants: int, chance: random.Random) -> Submission:
    return Submission(
        turn=str(uuid.UUID(int=chance.getrandbits(128))),
        task=str(number),
        tenant=f"tenant-{number % tenants}",
        body=TurnBody(prompt="a story"),
        estimated_tokens=chance.randrange(1, 300),
    )
