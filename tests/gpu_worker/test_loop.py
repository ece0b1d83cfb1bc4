"""The worker as a real process on a real Redis, running the simulated engine, whose text can be checked exactly."""

from __future__ import annotations

import signal
import time
from functools import partial

from redis.asyncio import Redis

from gpu_worker.engines.simulated_text import whole_answer
from taskqueue.async_client import AsyncQueue
from taskqueue.messages import Submission
from tests.gpu_worker.conftest import StartWorker, outcomes, seconds, streamed_text, submission, until

SLOW = '{"step_base_s": 0.02}'
STEP_S = 0.02


async def answered(queue: AsyncQueue, count: int) -> bool:
    """Whether `count` tasks have some text."""
    signals = await queue.signals()
    return sum(worker.tokens_total for worker in signals.workers) >= count


async def has_text(queue: AsyncQueue, one: Submission, events: int = 5) -> bool:
    return len(await queue.read_log(one.task)) >= events


async def check_undisturbed(queue: AsyncQueue, submissions: list[Submission], *, reap: bool = False) -> None:
    """Every turn ends once, with the text of an undisturbed run, in the log and in the record."""
    ended = await outcomes(queue, len(submissions), reap=reap)
    for one in submissions:
        expected = whole_answer(one.body)
        record = ended[one.turn]
        assert (record.state, record.finish_reason, record.text) == ("succeeded", expected.finish_reason, expected.text)
        assert record.usage.completion_tokens == len(expected.token_ids)
        assert await streamed_text(queue, one.task) == expected.text


async def test_turns_are_claimed_together_and_each_step_is_emitted_once(
    redis_url: str, queue: AsyncQueue, start_worker: StartWorker
) -> None:
    submissions = [submission(number, max_tokens=50) for number in range(8)]
    await queue.enqueue(submissions)
    async with Redis.from_url(redis_url) as redis:
        await redis.config_resetstat()
        start_worker(slots=8, engine_args=SLOW)
        await check_undisturbed(queue, submissions)
        calls = (await redis.info("commandstats"))["cmdstat_xadd"]["calls"]
        scripts = (await redis.info("commandstats"))["cmdstat_evalsha"]["calls"]
    events = sum([len(await queue.read_log(one.task)) for one in submissions])
    assert calls >= events - 8
    assert events > 100
    # 50 steps: an emit each, and besides only claims, heartbeats, finishes and this test's own acknowledgements.
    assert scripts < 50 + 40 < events


async def test_a_freed_slot_is_filled_and_slots_are_never_exceeded(
    queue: AsyncQueue, start_worker: StartWorker
) -> None:
    submissions = [submission(number, max_tokens=5 + number) for number in range(12)]
    await queue.enqueue(submissions)
    start_worker(slots=3, engine_args='{"step_base_s": 0.005}')
    most = 0

    async def over() -> bool:
        nonlocal most
        signals = await queue.signals()
        most = max(most, signals.running)
        return signals.waiting == signals.running == 0

    await until(over)
    assert 1 < most <= 3
    await check_undisturbed(queue, submissions)


async def test_an_idle_worker_wakes_by_the_bell(queue: AsyncQueue, start_worker: StartWorker) -> None:
    start_worker(engine_args='{"step_base_s": 0}')
    await until(lambda: ready(queue, 1))
    waits = []
    for number in range(10):
        one = submission(number, max_tokens=1)
        started = time.monotonic()
        await queue.enqueue([one])
        await until(partial(has_text, queue, one, 3))
        waits.append(seconds(started))
    assert sorted(waits)[5] < 0.25  # a worker that polled by the second would need half a second


async def test_a_cancelled_turn_ends_and_frees_its_slot(queue: AsyncQueue, start_worker: StartWorker) -> None:
    endless, waiting = submission(1, max_tokens=100_000), submission(2, max_tokens=3)
    await queue.enqueue([endless, waiting])
    start_worker(slots=1, engine_args=SLOW)
    await until(lambda: has_text(queue, endless))
    assert await queue.cancel([endless.turn]) == ["stopping"]
    ended = await outcomes(queue, 2)
    assert (ended[endless.turn].state, ended[waiting.turn].state) == ("cancelled", "succeeded")
    assert ended[endless.turn].text == await streamed_text(queue, endless.task)


async def test_a_silent_turn_is_cancelled_by_the_heartbeat(queue: AsyncQueue, start_worker: StartWorker) -> None:
    one = submission(1, prompt="word " * 1000)
    await queue.enqueue([one])
    start_worker(engine_args='{"prefill_tokens_per_s": 1}')
    await until(lambda: has_text(queue, one, 2))
    await queue.cancel([one.turn])
    assert (await outcomes(queue, 1))[one.turn].state == "cancelled"


async def test_a_running_turn_past_its_deadline_expires(queue: AsyncQueue, start_worker: StartWorker) -> None:
    start_worker(engine_args=SLOW)
    await until(lambda: ready(queue, 1))
    now_ms = (await queue.signals()).now_ms
    one = submission(1, max_tokens=100_000, deadline_ms=now_ms + 500)
    await queue.enqueue([one])
    assert (await outcomes(queue, 1, reap=True))[one.turn].state == "expired"


async def test_sigterm_hands_over_in_mid_sentence(queue: AsyncQueue, start_worker: StartWorker) -> None:
    submissions = [submission(number, max_tokens=150) for number in range(4)]
    await queue.enqueue(submissions)
    first = start_worker("first", engine_args=SLOW)
    await until(lambda: has_text(queue, submissions[3], 20))
    started = time.monotonic()
    first.signal(signal.SIGTERM)
    assert first.wait() == 0
    assert seconds(started) < 2
    signals = await queue.signals()
    assert (signals.waiting, signals.running, signals.workers) == (4, 0, ())
    start_worker("second", engine_args=SLOW)
    await check_undisturbed(queue, submissions)


async def test_sigint_ends_an_idle_worker(queue: AsyncQueue, start_worker: StartWorker) -> None:
    worker = start_worker()
    await until(lambda: ready(queue, 1))
    worker.signal(signal.SIGINT)
    assert worker.wait() == 0
    assert (await queue.signals()).workers == ()


async def test_sigterm_ends_a_worker_that_still_starts(queue: AsyncQueue, start_worker: StartWorker) -> None:
    worker = start_worker(engine_args='{"startup_s": 1000}')

    async def starting() -> bool:
        return [one.phase for one in (await queue.signals()).workers] == ["starting"]

    await until(starting)
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0


async def test_a_killed_worker_is_replaced_in_mid_sentence(queue: AsyncQueue, start_worker: StartWorker) -> None:
    submissions = [submission(number, max_tokens=150) for number in range(4)]
    await queue.enqueue(submissions)
    first = start_worker("first", lease_s=0.5, engine_args=SLOW)
    await until(lambda: has_text(queue, submissions[3], 20))
    first.signal(signal.SIGKILL)
    first.wait()
    start_worker("second", lease_s=0.5, engine_args=SLOW)
    await check_undisturbed(queue, submissions, reap=True)


async def test_a_worker_that_slept_past_its_lease_says_nothing_more(
    queue: AsyncQueue, start_worker: StartWorker
) -> None:
    submissions = [submission(number, max_tokens=150) for number in range(4)]
    await queue.enqueue(submissions)
    first = start_worker("first", lease_s=0.5, engine_args=SLOW)
    await until(lambda: has_text(queue, submissions[3], 20))
    first.signal(signal.SIGSTOP)

    async def requeued() -> bool:
        await queue.reap(max_attempts=9)
        return (await queue.signals()).waiting == 4

    await until(requeued)
    start_worker("second", lease_s=0.5, engine_args=SLOW)
    await until(lambda: running(queue, 4))
    first.signal(signal.SIGCONT)
    await check_undisturbed(queue, submissions, reap=True)


async def test_a_worker_that_woke_up_may_claim_its_own_turn_again(queue: AsyncQueue, start_worker: StartWorker) -> None:
    submissions = [submission(number, max_tokens=150) for number in range(4)]
    await queue.enqueue(submissions)
    only = start_worker(lease_s=0.5, engine_args=SLOW)
    await until(lambda: has_text(queue, submissions[3], 20))
    only.signal(signal.SIGSTOP)

    async def requeued() -> bool:
        await queue.reap(max_attempts=9)
        return (await queue.signals()).waiting == 4

    await until(requeued)
    only.signal(signal.SIGCONT)
    await check_undisturbed(queue, submissions, reap=True)


async def test_several_simulated_workers_share_a_process(queue: AsyncQueue, start_worker: StartWorker) -> None:
    submissions = [submission(number, max_tokens=40) for number in range(12)]
    await queue.enqueue(submissions)
    process = start_worker("many", slots=4, simulated_workers=3, engine_args=SLOW)
    await check_undisturbed(queue, submissions)
    workers = {one.worker for one in (await queue.signals()).workers}
    assert workers == {"many-1", "many-2", "many-3"}
    process.signal(signal.SIGTERM)
    assert process.wait() == 0


async def ready(queue: AsyncQueue, count: int) -> bool:
    return [one.phase for one in (await queue.signals()).workers].count("ready") == count


async def running(queue: AsyncQueue, count: int) -> bool:
    return (await queue.signals()).running == count
