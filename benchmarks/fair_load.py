"""The loads of `benchmarks.fairness`: a flood beside nine quiet tenants, and tenants that always have turns waiting.

First come, first served is the same queue with all turns given to one tenant of it: inside a tenant the order is priority,
deadline, arrival, and here all priorities are equal and nothing has a deadline. Whose turn it is in truth stands in its name.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import statistics
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from agents.submissions import estimated_tokens
from benchmarks.fleet import fleet
from gpu_worker.engines.simulated_text import prompt_tokens
from taskqueue import fair_share
from taskqueue.async_client import AsyncQueue
from taskqueue.messages import SamplingParams, Submission, TurnBody

Order = Literal["arrival", "fair"]

BUDGETS = range(5, 46)
"""Answers' token budgets, all as likely."""
ANSWER_TOKENS = 15
"""Where an answer ends by itself, if its budget lets it: so the queue's estimates, made from the budgets, are off both ways."""
END_S = 300.0
FLOOD = "flood"


@dataclass(frozen=True)
class Plan:
    """The fleet and how long a load lasts. `quiet_share`: what nine tenants ask for together, of the fleet's capacity."""

    workers: int
    processes: int
    slots: int
    step_s: float
    seconds: float
    flood_times: float
    quiet_share: float = 0.4

    @property
    def turns_per_s(self) -> float:
        """The fleet's capacity, by its speed model."""
        tokens = statistics.mean(min(budget, ANSWER_TOKENS) for budget in BUDGETS)
        return self.workers * self.slots / (tokens * self.step_s)

    def difference_bound(self) -> float:
        """What two equal tenants' tokens may differ by after a backlog from its first claim, in the theory of `fair_share`.

        Tokens are counted here when their turn has ended, so that the running turns come on top.
        """
        slots = self.workers * self.slots
        bodies = [_body(number, budget) for budget in BUDGETS for number in (0, 99_999)]  # estimates read lengths
        costs = [prompt_tokens(body.prompt or "") + min(body.params.max_tokens, ANSWER_TOKENS) for body in bodies]
        error = max(abs(cost - estimated_tokens(body)) for cost, body in zip(costs, bodies, strict=True))
        return fair_share.bound(slots=slots, cost=max(costs), error=error) + slots * max(costs)


@dataclass
class Books:
    """What the record stream tells, by the turns' true tenants. Times are Redis' clock in milliseconds."""

    claimed_ms: dict[str, int] = field(default_factory=dict)
    finished: list[tuple[int, str, int]] = field(default_factory=list)

    async def read(self, queue: AsyncQueue) -> int:
        """Take in what is new, and return the time of the newest record."""
        records = await queue.read_records(count=1000, block_s=0.2)
        for record in records:
            if record.kind == "claimed":
                self.claimed_ms.setdefault(record.turn, record.at_ms)
            elif record.kind == "finished":
                usage = record.usage
                self.finished.append(
                    (record.at_ms, tenant_of(record.turn), usage.prompt_tokens + usage.completion_tokens)
                )
        await queue.acknowledge(records, keep_log_s=0.001)
        return records[-1].at_ms if records else 0

    def tokens(self, start_ms: float, seconds: float) -> Counter[str]:
        """Tokens of the turns that ended in this time, per tenant."""
        tokens: Counter[str] = Counter()
        for at_ms, tenant, count in self.finished:
            if start_ms <= at_ms < start_ms + 1000 * seconds:
                tokens[tenant] += count
        return tokens


@dataclass(frozen=True)
class Flood:
    """One run of the flood: the quiet tenants' waits from submission to claim, and all tenants' tokens while it lasted."""

    waits_s: list[float]
    tokens: Counter[str]


def tenant_of(turn: str) -> str:
    """Whose turn it is, whatever the queue was told."""
    return turn.split("-", 1)[1]


async def flood(url: str, *, plan: Plan, order: Order, times: float, seed: int) -> Flood:
    """Nine tenants submit at random moments, one `times` as much as each of them; ends when all of the nine's turns ran."""
    chance = random.Random(seed)
    rate = plan.quiet_share * plan.turns_per_s / 9
    arrivals = sorted(
        (at_s, tenant)
        for tenant, per_s in {**{f"quiet{nth}": rate for nth in range(1, 10)}, FLOOD: rate * times}.items()
        for at_s in _moments(chance, per_s, plan.seconds)
    )
    turns = [_turn(nth, tenant, 1.0, order, chance) for nth, (_, tenant) in enumerate(arrivals)]
    quiet = {turn.turn: at_s for turn, (at_s, tenant) in zip(turns, arrivals, strict=True) if tenant != FLOOD}
    books = Books()
    async with _queue(url) as queue, _fleet(url, queue, plan), asyncio.timeout(END_S), asyncio.TaskGroup() as group:
        start_s = time.time()
        end_s = start_s + plan.seconds
        submitting = group.create_task(_submit(queue, turns, [start_s + at_s for at_s, _ in arrivals]))
        while not submitting.done() or time.time() < end_s or quiet.keys() - books.claimed_ms.keys():
            await books.read(queue)
        while 0 < await books.read(queue) < 1000 * end_s:  # what ended before the end was counted
            pass
    waits_s = [max(0.0, books.claimed_ms[turn] / 1000 - start_s - at_s) for turn, at_s in quiet.items()]
    return Flood(waits_s, books.tokens(1000 * start_s, plan.seconds))


async def backlog(
    url: str, *, plan: Plan, order: Order, turns: Mapping[str, int], weights: Mapping[str, float], seed: int
) -> Counter[str]:
    """Tokens per tenant in `seconds` from the first claim, all of `turns` being there before it, in random order."""
    chance = random.Random(seed)
    owners = [tenant for tenant, count in turns.items() for _ in range(count)]
    chance.shuffle(owners)
    submissions = [_turn(nth, tenant, weights[tenant], order, chance) for nth, tenant in enumerate(owners)]
    books = Books()
    async with _queue(url) as queue:
        for start in range(0, len(submissions), 500):
            await queue.enqueue(submissions[start : start + 500])
        async with _fleet(url, queue, plan), asyncio.timeout(END_S):
            newest_ms = 0
            while not books.claimed_ms or newest_ms < min(books.claimed_ms.values()) + 1000 * plan.seconds:
                newest_ms = max(newest_ms, await books.read(queue))
    claimed = Counter(tenant_of(turn) for turn in books.claimed_ms)
    dry = [tenant for tenant, count in turns.items() if claimed[tenant] >= count]
    if dry:
        raise RuntimeError(f"{', '.join(dry)} had nothing waiting before the time was over: give them more turns")
    tokens = books.tokens(min(books.claimed_ms.values()), plan.seconds)
    return Counter({tenant: tokens[tenant] for tenant in turns})  # those that got nothing, too


async def _submit(queue: AsyncQueue, turns: list[Submission], due_s: list[float]) -> None:
    """Each turn at its moment; those that are due go out together."""
    sent = 0
    while sent < len(turns):
        await asyncio.sleep(max(0.0, due_s[sent] - time.time()))
        last = sent
        while last < len(turns) and due_s[last] <= time.time():
            last += 1
        await queue.enqueue(turns[sent:last])
        sent = last


def _moments(chance: random.Random, per_s: float, seconds: float) -> list[float]:
    """A Poisson process."""
    moments, at_s = [], 0.0
    while per_s and (at_s := at_s + chance.expovariate(per_s)) < seconds:
        moments.append(at_s)
    return moments


def _turn(number: int, tenant: str, weight: float, order: Order, chance: random.Random) -> Submission:
    name = f"{number:06d}-{tenant}"  # names sort as they arrive, for those of one millisecond
    body = _body(number, chance.choice(BUDGETS))
    return Submission(
        turn=name,
        task=name,
        tenant=tenant if order == "fair" else "all",
        weight=weight if order == "fair" else 1.0,
        body=body,
        estimated_tokens=estimated_tokens(body),
    )


def _body(number: int, budget: int) -> TurnBody:
    return TurnBody(prompt=f"tell story {number}", params=SamplingParams(max_tokens=budget))


@contextlib.asynccontextmanager
async def _queue(url: str) -> AsyncIterator[AsyncQueue]:
    queue = AsyncQueue(url, f"bench-{uuid.uuid4().hex[:8]}")
    try:
        yield queue
    finally:
        await queue.aclose()


def _fleet(url: str, queue: AsyncQueue, plan: Plan) -> contextlib.AbstractAsyncContextManager[list[int]]:
    speed = {"step_base_s": plan.step_s, "prefill_tokens_per_s": 1e9, "answer_tokens": ANSWER_TOKENS}
    return fleet(url, queue, workers=plan.workers, processes=plan.processes, slots=plan.slots, engine_args=speed)
