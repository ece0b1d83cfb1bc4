"""What is learnt of workers' speed: from generated counters whose law is known, and from a real worker's heartbeats."""

from __future__ import annotations

import asyncio
import json
import random
import time
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_worker.engines.simulated import SimulatedArgs, step_s
from orchestrator.signals.rates import COLD_S, COLD_STEPS, RateMeter, Rates, Speed, difference, learnt
from taskqueue.async_client import AsyncQueue
from taskqueue.messages import SamplingParams, Submission, TurnBody, Work
from tests.gpu_worker.conftest import PATIENCE_S, StartWorker, start_worker

__all__ = ["start_worker"]  # a fixture

ARGS = SimulatedArgs(prefill_tokens_per_s=8_000, step_base_s=0.02, step_per_sequence_s=0.0015)
LAW = Speed(ARGS.step_base_s, ARGS.step_per_sequence_s, 1 / ARGS.prefill_tokens_per_s)


class Generated:
    """A worker's sums by the simulated engine's law, heartbeat by heartbeat; `noise` is a step's relative error (sigma)."""

    def __init__(self, *, seed: int = 1, noise: float = 0.0, args: SimulatedArgs = ARGS) -> None:
        self.chance, self.noise, self.args = random.Random(seed), noise, args
        self.work = Work()

    def beat(self, *, batch: tuple[int, int], joins: float = 0.2, prompt: int = 200, steps: int = 25) -> Work:
        """The sums after so many steps more, each with a batch between these two."""
        done = {name: getattr(self.work, name) for name in Work.__struct_fields__}
        for _ in range(steps):
            sequences = self.chance.randint(*batch)
            joined = self.chance.random() < joins
            taken_s = step_s(self.args, sequences=sequences, prefilled=prompt * joined)
            done["steps"] += 1
            done["steps_s"] += taken_s * max(0.1, self.chance.gauss(1, self.noise))
            done["sequences"] += sequences
            done["prefilled"] += prompt * joined
            if joined:  # in the long run as many end
                done["turns"] += 1
                done["prompt_tokens"] += prompt
                done["answer_tokens"] += 100
        self.work = Work(**done)
        return self.work


def differences(worker: Generated, beats: int, **how: object) -> list[Work]:
    said = [worker.work] + [worker.beat(**how) for _ in range(beats)]  # type: ignore[arg-type]
    return [change for one, other in pairwise(said) if (change := difference(other, one))]


def after(seen: list[Work], rates: Rates | None = None) -> Rates:
    """One tick, one observation."""
    rates = rates or Rates()
    for at, work in enumerate(seen):
        rates = learnt(rates, [work], now=float(at))
    return rates


def test_the_law_is_recovered_from_ten_seconds_of_a_mixed_load() -> None:
    speed = after(differences(Generated(), 20, batch=(1, 16))).speed
    assert speed.base_s == pytest.approx(LAW.base_s, rel=0.03)
    assert speed.per_sequence_s == pytest.approx(LAW.per_sequence_s, rel=0.03)
    assert speed.per_prompt_token_s == pytest.approx(LAW.per_prompt_token_s, rel=0.03)


@pytest.mark.parametrize("seed", range(5))
def test_noise_of_a_third_of_each_step_moves_a_turns_cost_by_less_than_a_tenth(seed: int) -> None:
    rates = after(differences(Generated(seed=seed, noise=0.33), 120, batch=(1, 16)))
    assert rates.turn_s(16) == pytest.approx(LAW.turn_s(slots=16, prompt=200, answer=100), rel=0.1)


def test_a_turns_cost_is_its_prompt_and_its_share_of_the_steps() -> None:
    assert LAW.turn_s(slots=16, prompt=200, answer=100) == pytest.approx(200 / 8000 + 100 * (0.02 / 16 + 0.0015))
    rates = after(differences(Generated(), 60, batch=(1, 16)))
    assert rates.turn_s(8) == pytest.approx(LAW.turn_s(slots=8, prompt=200, answer=100), rel=0.02)


@pytest.mark.parametrize("batch", [1, 8, 16])
def test_steps_of_one_batch_only_give_its_own_time_and_no_slope(batch: int) -> None:
    speed = after(differences(Generated(), 20, batch=(batch, batch), joins=0.0)).speed
    assert speed.base_s == pytest.approx(step_s(ARGS, sequences=batch, prefilled=0))
    assert (speed.per_sequence_s, speed.per_prompt_token_s) == pytest.approx((0.0, 0.0), abs=1e-12)


def test_what_was_learnt_from_other_batches_outlives_an_hour_of_one() -> None:
    worker = Generated(noise=0.1)
    rates = after(differences(worker, 60, batch=(1, 16)))
    before = rates.speed
    rates = after(differences(worker, 1200, batch=(4, 4), joins=0.0), rates)
    assert rates.speed.per_sequence_s == pytest.approx(before.per_sequence_s, rel=0.2)
    fours = rates.speed.base_s + 4 * rates.speed.per_sequence_s
    assert fours == pytest.approx(step_s(ARGS, sequences=4, prefilled=0), rel=0.02)


def test_a_worker_that_got_slower_is_believed_within_some_half_lives() -> None:
    slower = SimulatedArgs(prefill_tokens_per_s=4_000, step_base_s=0.04, step_per_sequence_s=0.003)
    rates = after(differences(Generated(), 300, batch=(1, 16)))
    seen = differences(Generated(seed=2, args=slower), 1800, batch=(1, 16))
    for at, work in enumerate(seen):
        rates = learnt(rates, [work], now=300.0 + at)
    assert rates.turn_s(16) == pytest.approx(2 * LAW.turn_s(slots=16, prompt=200, answer=100), rel=0.05)


def test_there_is_no_rate_before_enough_was_seen() -> None:
    assert Rates().turn_s(8) is None
    assert after(differences(Generated(), 1, batch=(4, 4))).turn_s(8) is None
    no_turn_ended = differences(Generated(), 20, batch=(4, 4), joins=0.0)
    assert after(no_turn_ended).turn_s(8) is None


def test_turns_of_half_an_hour_have_a_rate_once_five_of_them_have_ended() -> None:
    """By the weights alone there would never be five: each counts half after five minutes."""
    rates, beat = Rates(), Work(steps=25, steps_s=1.0, sequences=100, prefilled=0)
    last = msgspec.structs.replace(beat, prefilled=200, turns=1, prompt_tokens=200, answer_tokens=90_000)
    for at in range(5 * 1800):
        assert rates.turn_s(4) is None
        rates = learnt(rates, [last if at % 1800 == 1799 else beat], now=float(at))
    assert rates.turns < 2
    assert rates.turn_s(4) == pytest.approx(90_000 * 0.04 / 4, rel=0.05)


def test_silence_forgets_nothing() -> None:
    rates = after(differences(Generated(), 20, batch=(1, 16)))
    later = learnt(rates, [], now=1e6)
    assert later == rates
    (one,) = differences(Generated(seed=3), 1, batch=(1, 16))
    assert learnt(rates, [one], now=1e6).steps > 0.99 * (rates.steps + one.steps)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 60), st.floats(1e-6, 100), st.integers(0, 60 * 64), st.integers(0, 100_000)),
        min_size=1,
        max_size=40,
    )
)
def test_no_number_is_ever_negative_or_absurd(raw: list[tuple[int, float, int, int]]) -> None:
    seen = [Work(steps=n, steps_s=s, sequences=k, prefilled=p, turns=1, answer_tokens=5) for n, s, k, p in raw]
    speed = after(seen).speed
    slowest = max(work.steps_s for work in seen)
    assert 0 <= speed.base_s <= slowest * 60
    assert speed.per_sequence_s >= 0
    assert speed.per_prompt_token_s >= 0


# -- heartbeats ------------------------------------------------------------------------------------
def test_a_cold_worker_tells_nothing_for_a_while() -> None:
    meter, worker = RateMeter(), Generated()
    meter.hear({"w": worker.beat(batch=(1, 16))}, now=0.0)
    meter.hear({"w": worker.beat(batch=(1, 16))}, now=COLD_S - 1)
    meter.hear({"w": worker.beat(batch=(1, 16))}, now=COLD_S)
    assert meter.rates == Rates()
    before = worker.work
    meter.hear({"w": worker.beat(batch=(1, 16))}, now=COLD_S + 1)
    assert meter.rates.steps == worker.work.steps - before.steps


def test_the_first_steps_are_cold_however_late_they_come() -> None:
    meter, worker = RateMeter(), Generated()
    meter.hear({"w": Work()}, now=0.0)
    meter.hear({"w": worker.beat(batch=(4, 4), steps=COLD_STEPS - 1)}, now=1000.0)
    meter.hear({"w": worker.beat(batch=(4, 4), steps=5)}, now=1001.0)
    assert meter.rates == Rates()
    meter.hear({"w": worker.beat(batch=(4, 4), steps=5)}, now=1002.0)
    assert meter.rates.steps == 5


def test_workers_are_told_apart_and_one_that_begins_anew_is_no_step_back() -> None:
    meter = RateMeter()
    one, other = Generated(seed=1), Generated(seed=2)
    for at in (0.0, COLD_S, COLD_S + 1):
        meter.hear({"a": one.beat(batch=(1, 16)), "b": other.beat(batch=(1, 16))}, now=at)
    assert meter.rates.steps == 50
    meter.hear({"a": Work(steps=30, steps_s=1.0, sequences=30), "b": other.work}, now=COLD_S + 2)
    assert meter.rates.steps == 50


# -- a worker's own words --------------------------------------------------------------------------
async def test_the_law_of_a_real_worker_is_recovered_from_its_heartbeats(
    queue: AsyncQueue, start_worker: StartWorker
) -> None:
    """Steps long enough that what a machine at rest adds to them is little; late ones are caught up by the engine."""
    law = {"step_base_s": 0.05, "step_per_sequence_s": 0.005, "prefill_tokens_per_s": 1000}
    start_worker("w", slots=16, engine_args=json.dumps(law), lease_s=5)
    meter, ended = RateMeter(cold_s=0.0), 0

    async def hear_until(turns: int) -> Work:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                said = {one.worker: one.work for one in (await queue.signals()).workers if one.phase == "ready"}
                meter.hear(said, now=time.monotonic())
                if sum(work.turns for work in said.values()) >= turns:
                    return said["w"]
                await asyncio.sleep(0.1)

    work = Work()
    for wave, (count, words) in enumerate([(1, 5), (12, 5), (2, 100), (16, 40), (4, 5), (16, 5)]):
        body = TurnBody(prompt="word " * words, params=SamplingParams(max_tokens=20, ignore_eos=True))
        names = [f"{wave}-{number}" for number in range(count)]
        await queue.enqueue([Submission(turn=name, task=name, tenant="t", body=body) for name in names])
        ended += count
        work = await hear_until(ended)
    assert (work.turns, work.answer_tokens, work.sequences) == (ended, 20 * ended, 20 * ended)
    truth = Speed(0.05, 0.005, 0.001).turn_s(slots=16, prompt=work.prompt_tokens / ended, answer=20)
    cost = meter.rates.turn_s(16)
    assert cost is not None
    assert (
        0.85 * truth <= cost <= 2 * truth
    )  # the engine is never faster; a machine that stands still for seconds makes it slower
