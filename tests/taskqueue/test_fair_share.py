"""The Virtual Token Counter as arithmetic: the bound of its theory under any load, and what idling costs and earns."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from dataclasses import dataclass, replace
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskqueue import fair_share
from taskqueue.fair_share import Bill, Counters

ROUNDING = 1e-6


@dataclass(frozen=True)
class Turn:
    """A turn that knows its future: what its tenant will have been served when each of its attempts leaves the worker."""

    bill: Bill
    served: tuple[int, ...]


class Pool:
    """A pool on the arithmetic alone. Service is counted with the claim, in tokens by weight, as in the module's theory."""

    def __init__(self, slots: int, weights: list[float]) -> None:
        self.slots = slots
        self.weights = {f"t{nth}": weight for nth, weight in enumerate(weights)}
        self.counters = Counters()
        self.lines: defaultdict[str, deque[Turn]] = defaultdict(deque)
        self.running: list[Turn] = []
        self.service: Counter[str] = Counter()
        self.cost = self.error = 0.0
        self.spans: dict[tuple[str, str], tuple[float, float]] = {}
        self.widest: Counter[tuple[str, str]] = Counter()

    def bound(self) -> float:
        return fair_share.bound(slots=self.slots, cost=self.cost, error=self.error)

    def submit(self, tenant: str, estimate: int, served: tuple[int, ...]) -> None:
        self._wait(Turn(Bill(tenant, self.weights[tenant], estimate), served))

    def claim(self) -> list[str]:
        """Fill all slots; returns whose turns they were."""
        tenants = []
        while len(self.running) < self.slots and (tenant := fair_share.choose(self.counters)):
            turn = self.lines[tenant].popleft()
            self.counters, bill = fair_share.charge(self.counters, turn.bill)
            if not self.lines[tenant]:
                self.counters = fair_share.leave(self.counters, tenant=tenant)
            self.running.append(replace(turn, bill=bill))
            charged, cost = bill.charged - turn.bill.charged, turn.served[0] - turn.bill.charged
            self.cost = max(self.cost, cost / bill.weight)
            self.error = max(self.error, abs(cost - charged) / bill.weight)
            self.service[tenant] += cost / bill.weight  # type: ignore[assignment]
            tenants.append(tenant)
            self._compare()
        return tenants

    def end(self, nth: int) -> None:
        """A running turn leaves its worker: it goes back to the line if it has another attempt before it."""
        if self.running:
            turn = self.running.pop(nth % len(self.running))
            self.counters, bill = fair_share.correct(self.counters, turn.bill, served=turn.served[0])
            if turn.served[1:]:
                self._wait(Turn(bill, turn.served[1:]))
            self._compare()

    def _wait(self, turn: Turn) -> None:
        self.counters = fair_share.join(self.counters, tenant=turn.bill.tenant)
        self.lines[turn.bill.tenant].append(turn)
        self._compare()

    def _compare(self) -> None:
        """Per pair that waits: the widest change of its difference of service, over all intervals so far."""
        for pair in combinations(self.weights, 2):
            if self.counters.waiting.issuperset(pair):
                difference = self.service[pair[0]] - self.service[pair[1]]
                low, high = self.spans.get(pair, (difference, difference))
                self.spans[pair] = low, high = min(low, difference), max(high, difference)
                self.widest[pair] = max(self.widest[pair], high - low)  # type: ignore[assignment]
            else:
                self.spans.pop(pair, None)


tokens = st.integers(0, 60)
attempts = st.lists(tokens, min_size=1, max_size=3).map(lambda served: tuple(sorted(served)))
weights = st.lists(st.sampled_from((1.0, 1.0, 0.5, 2.0, 3.0)), min_size=2, max_size=5)
loads = st.lists(
    st.one_of(
        st.tuples(st.just("submit"), st.integers(0, 4), tokens, attempts, st.integers(1, 20)),
        st.tuples(st.just("serve"), st.integers(0, 5), st.integers(1, 15)),
        st.tuples(st.just("end"), st.integers(0, 5), st.integers(1, 3)),
    ),
    max_size=60,
)


def act(pool: Pool, load: tuple) -> None:
    match load:
        case ("submit", tenant, estimate, served, times):
            for _ in range(times):
                pool.submit(f"t{tenant % len(pool.weights)}", estimate, served)
        case ("serve", nth, times):
            for _ in range(times):
                pool.claim()
                pool.end(nth)
        case ("end", nth, times):
            for _ in range(times):
                pool.end(nth)


@settings(max_examples=400, deadline=None)
@given(slots=st.integers(1, 6), weights=weights, loads=loads)
def test_tenants_that_wait_together_are_served_alike_up_to_the_bound(
    slots: int, weights: list[float], loads: list[tuple]
) -> None:
    pool = Pool(slots, weights)
    for load in loads:
        act(pool, load)
    assert max(pool.widest.values(), default=0.0) <= 2 * pool.bound() + ROUNDING


@settings(deadline=None)
@given(slots=st.integers(1, 6), weights=weights, loads=loads)
def test_no_slot_is_free_while_somebody_waits(slots: int, weights: list[float], loads: list[tuple]) -> None:
    pool = Pool(slots, weights)
    for load in loads:
        act(pool, load)
        assert pool.counters.waiting == {tenant for tenant, line in pool.lines.items() if line}
        before = sum(map(len, pool.lines.values())), len(pool.running)
        pool.claim()
        assert len(pool.running) == min(slots, sum(before))


@settings(deadline=None)
@given(weights=weights, cost=st.integers(1, 50), estimates=st.lists(st.integers(1, 80), min_size=1, max_size=5))
def test_backlogged_tenants_share_by_weight(weights: list[float], cost: int, estimates: list[int]) -> None:
    """Each has 60 turns, the estimates are wrong, and each tenant is wrong in its own way."""
    pool = Pool(4, weights)
    for tenant in list(range(len(weights))) * 60:
        pool.submit(f"t{tenant}", estimates[tenant % len(estimates)], (cost,))
    while all(pool.lines.values()):
        pool.claim()
        pool.end(0)
    assert max(pool.service.values()) - min(pool.service.values()) <= pool.bound() + ROUNDING


@pytest.mark.parametrize(("estimate", "cost"), [(10, 10), (50, 10), (1, 10)])
def test_idle_time_earns_no_credit_and_costs_nothing(estimate: int, cost: int) -> None:
    pool = Pool(2, [1.0, 1.0])
    for _ in range(100):
        pool.submit("t1", estimate, (cost,))
    for _ in range(50):
        pool.claim()
        pool.end(0)
    for _ in range(50):
        pool.submit("t0", estimate, (cost,))
    assert pool.claim() == ["t0"]  # back from idle, it is next
    before = pool.service.copy()
    for _ in range(40):
        pool.end(0)
        pool.claim()
    got = {tenant: pool.service[tenant] - before[tenant] for tenant in pool.weights}
    assert sum(got.values()) == 40 * cost
    assert abs(got["t0"] - got["t1"]) <= 2 * pool.bound()


def test_the_last_to_leave_keeps_the_place_for_the_next_to_come() -> None:
    counters = fair_share.join(Counters(), tenant="ann")
    counters, _ = fair_share.charge(counters, Bill("ann", 1.0, 100))
    counters = fair_share.leave(counters, tenant="ann")
    counters = fair_share.join(counters, tenant="bob")
    assert counters.service == {"ann": 100, "bob": 100}


def test_a_turn_that_comes_back_lifts_its_tenant() -> None:
    """With its own counter it would be served alone until it has caught up with what it never waited for."""
    counters = Counters({"ann": 10.0, "bob": 500.0}, frozenset({"bob"}))
    counters, bill = fair_share.correct(counters, Bill("ann", 1.0, 10, charged=10), served=4)
    assert fair_share.join(counters, tenant="ann").service == {"ann": 500.0, "bob": 500.0}
    assert bill.charged == 4


@pytest.mark.parametrize(
    ("served_before", "charged"),
    [(0, 100), (30, 70), (100, 0), (130, 0)],
)
def test_a_later_attempt_is_charged_what_is_left_of_the_estimate(served_before: int, charged: float) -> None:
    counters = Counters({"ann": 7.0})
    after, bill = fair_share.charge(counters, Bill("ann", 2.0, 100, charged=served_before))
    assert after.service == {"ann": 7.0 + charged / 2}
    assert fair_share.correct(after, bill, served=150)[0].service == {"ann": 7.0 + (150 - served_before) / 2}


def test_of_equals_the_first_by_name_and_of_nobody_none() -> None:
    assert fair_share.choose(Counters({"bob": 1.0, "ann": 1.0, "cyd": 0.0}, frozenset({"ann", "bob"}))) == "ann"
    assert fair_share.choose(Counters({"ann": 1.0})) is None


def test_inside_a_tenant_priority_then_deadline_then_arrival() -> None:
    turns = [(5, 0, 1), (5, 0, 2), (5, 900, 3), (5, 800, 4), (0, 0, 5), (9, 1, 0)]
    ordered = sorted(turns, key=lambda turn: fair_share.rank(priority=turn[0], deadline_ms=turn[1], arrival_ms=turn[2]))
    assert [arrival for *_, arrival in ordered] == [5, 4, 3, 1, 2, 0]


@pytest.mark.parametrize(
    ("slots", "cost", "error", "expected"),
    [(1, 40, 0, 40), (64, 40, 0, 40), (64, 40, 10, 680), (8, 0, 5, 40)],
)
def test_with_exact_estimates_the_bound_is_one_turn(slots: int, cost: float, error: float, expected: float) -> None:
    assert fair_share.bound(slots=slots, cost=cost, error=error) == expected
