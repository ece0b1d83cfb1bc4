"""Many clients at once on one pool: whatever they do to each other, each turn ends exactly once.

Each actor follows a seeded dice of its own; how their calls interleave is left to the event loop. Nobody sleeps: all go on
until the recorder has seen the end of every turn.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from random import Random

import pytest
from redis import Redis

from taskqueue import keys
from taskqueue.async_client import AsyncQueue
from taskqueue.messages import ClaimedTurn, Delta, Finish, Record, Submission, TurnBody, Usage, WorkerStatus
from taskqueue.sync_client import Queue

TURNS, SUBMITTERS, WORKERS = 600, 3, 5
BOUND_S = 60.0
STAYS = {"service", "tally", "left", "record", "bell", "max_running", "looked", "pace", "flow"}
"""Keys that a pool without work keeps."""


@dataclass
class Held:
    """What a worker believes of a turn; a zombie believes it for too long."""

    turn: ClaimedTurn
    seq: int


@dataclass
class Scene:
    """One pool, and what its actors can swear to."""

    url: str
    pool: str
    seed: int
    accepted: set[str] = field(default_factory=set)
    spoken: dict[str, dict[int, str]] = field(default_factory=lambda: defaultdict(dict))
    """Text that the queue took, by turn and number."""
    records: list[Record] = field(default_factory=list)
    submitting: int = SUBMITTERS

    def dice(self, actor: str) -> Random:
        return Random(f"{self.seed} {actor}")

    def over(self) -> bool:
        ended = {record.turn for record in self.records if record.kind == "finished"}
        return not self.submitting and ended >= self.accepted


async def submit(scene: Scene, queue: AsyncQueue, actor: str) -> None:
    """Submitters share some turns, as two sweeps would; some are cancelled soon after."""
    dice = scene.dice(actor)
    todo = dice.sample(range(TURNS), TURNS * 2 // 3)
    now_ms = (await queue.signals()).now_ms
    while todo:
        batch = [
            Submission(
                turn=f"t{nth}",
                task=f"task-{nth}",
                tenant=f"tenant{nth % 4}",
                body=TurnBody(),
                priority=nth % 3,
                weight=1.0 + nth % 4,
                deadline_ms=now_ms + dice.randrange(200) if nth % 10 == 0 else 0,
                max_waiting=100,
                max_running=3 if nth % 4 == 1 else 0,
            )
            for nth in todo[:7]
        ]
        answers = await queue.enqueue(batch)
        for submission, answer in zip(batch, answers, strict=True):
            if answer.verdict != "full":
                scene.accepted.add(submission.turn)
        del todo[:7]
        if dice.random() < 0.5:
            await queue.cancel([dice.choice(batch).turn])
    scene.submitting -= 1


async def work(scene: Scene, queue: AsyncQueue, actor: str) -> None:
    """A worker of bad character: it lets leases lapse, forgets turns, repeats itself, and speaks after it was stopped."""
    dice = scene.dice(actor)
    held: list[Held] = []
    while not scene.over():
        if len(held) < 8:
            lease_s = dice.choice((0.0, 0.005, 60.0))
            held += [Held(turn, turn.seq) for turn in await queue.claim(actor, dice.randint(1, 4), lease_s=lease_s)]
        move = dice.choice(("emit", "emit", "emit", "repeat", "finish", "finish", "beat", "release", "crash", "rest"))
        # At most one attempt of a turn: the answer `lost` does not say which.
        some = list({one.turn.turn: one for one in held if dice.random() < 0.7}.values())
        names = [one.turn.turn for one in some]
        if move in {"emit", "repeat"}:
            await emit(scene, queue, actor, some, twice=move == "repeat")
        elif move == "finish":
            await finish(queue, actor, some, dice)
            held = [one for one in held if one not in some or dice.random() < 0.2]
        elif move == "beat":
            await beat(queue, actor, names, lease_s=dice.choice((0.0, 60.0)))
        elif move == "release":
            await queue.release(actor, names)
            held = [one for one in held if one not in some or dice.random() < 0.2]
        elif move == "crash":
            await beat(queue, actor, [one.turn.turn for one in held], lease_s=0.0)
            held = []
        else:
            await queue.signals()


async def emit(scene: Scene, queue: AsyncQueue, actor: str, some: list[Held], *, twice: bool) -> None:
    deltas = []
    for one in some:
        one.seq += 1
        text = f"{actor} {one.turn.attempt} {one.seq}"
        deltas.append(Delta(turn=one.turn.turn, attempt=one.turn.attempt, seq=one.seq, text=text, token_ids=(1,)))
    for nth in range(1 + twice):
        lost = {stop.turn for stop in await queue.emit(actor, deltas) if stop.reason == "lost"}
        for delta in deltas if not nth else ():
            if delta.turn not in lost:
                assert delta.seq not in scene.spoken[delta.turn]
                scene.spoken[delta.turn][delta.seq] = f'"{delta.text}"'


async def finish(queue: AsyncQueue, actor: str, some: list[Held], dice: Random) -> None:
    finishes = [
        Finish(
            turn=one.turn.turn,
            task=one.turn.task,
            attempt=one.turn.attempt,
            seq=one.seq + 1,
            state="succeeded",
            usage=Usage(3, dice.randrange(500)),
        )
        for one in some
    ]
    await queue.finish(actor, finishes)


async def beat(queue: AsyncQueue, actor: str, names: list[str], *, lease_s: float) -> None:
    status = WorkerStatus(worker=actor, phase="ready", engine="simulated", model="", slots=8)
    await queue.heartbeat(status, names, lease_s=lease_s)


async def reap(scene: Scene, queue: AsyncQueue) -> None:
    dice = scene.dice("reaper")
    while not scene.over():
        await queue.reap(max_attempts=6, max_losses=dice.choice((2, 9)), lease_s=dice.choice((0.0, 0.01, 5.0)))


async def record(scene: Scene, queue: AsyncQueue) -> None:
    """Nothing is acknowledged while somebody may still submit it again: there is no Postgres here to ask how it ended."""
    while scene.submitting:
        await queue.signals()
    while not scene.over():
        records = await queue.read_records(count=20)
        scene.records += records
        await queue.acknowledge(records)


async def act(scene: Scene) -> None:
    async with AsyncExitStack() as stack, asyncio.timeout(BOUND_S), asyncio.TaskGroup() as group:

        def queue() -> AsyncQueue:
            queue = AsyncQueue(scene.url, scene.pool)
            stack.push_async_callback(queue.aclose)
            return queue

        for nth in range(SUBMITTERS):
            group.create_task(submit(scene, queue(), f"submitter{nth}"))
        for nth in range(WORKERS):
            group.create_task(work(scene, queue(), f"w{nth}"))
        group.create_task(record(scene, queue()))
        for _ in range(2):
            group.create_task(reap(scene, queue()))


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
async def test_each_turn_ends_once_whoever_races(redis: Redis, redis_url: str, pool: str, seed: int) -> None:
    scene = Scene(redis_url, pool, seed)
    await act(scene)
    ended = Counter(record.turn for record in scene.records if record.kind == "finished")
    assert ended == Counter(scene.accepted)
    outcomes = {record.turn: record.state for record in scene.records if record.kind == "finished"}

    queue = Queue(redis, pool)
    signals = queue.signals()
    assert (signals.waiting, signals.running) == (0, 0)
    for name in scene.accepted:
        log = queue.read_log(f"task-{name.removeprefix('t')}")
        assert [event.seq for event in log] == list(range(1, len(log) + 1))
        assert [event.kind for event in log].count("outcome") == 1
        assert log[-1].kind == "outcome"
        assert f'"state":"{outcomes[name]}"' in log[-1].data
        assert {event.seq: event.data for event in log if event.kind == "text"} == scene.spoken[name]
        runs = [event.data for event in log if '"state":"running"' in event.data]
        assert runs == [f'{{"state":"running","attempt":{nth}}}' for nth in range(1, len(runs) + 1)]
    names = {name.decode().removeprefix(keys.prefix(pool)) for name in redis.keys(f"{keys.prefix(pool)}*")}
    kept = ("log:", "worker")
    assert {name for name in names if not name.startswith(kept)} <= STAYS
