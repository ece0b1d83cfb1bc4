"""Any order of the queue's calls, on a real Redis, agrees with the model; hypothesis looks for one that does not.

Redis' clock is the only one, and no test waits for it: leases of no length lapse at once, others last an hour, deadlines lie
in 1970 or in 2100. OPSITE_HYPOTHESIS_EXAMPLES=2000 explores beyond the fixed examples of a common run.
"""

from __future__ import annotations

import os
import uuid
from collections import defaultdict

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from redis import Redis

from taskqueue import calls, keys
from taskqueue.messages import (
    ClaimedTurn,
    Delta,
    Event,
    Finish,
    Record,
    Stop,
    Submission,
    TaskError,
    TurnBody,
    Usage,
    WorkerStatus,
)
from taskqueue.sync_client import Queue
from tests.taskqueue.queue_model import Entry, Note, QueueModel, Turn

TENANTS = ("ann", "bob", "cyd")
WORKERS = ("w1", "w2")
INBOX = "web"
PAST_MS, FUTURE_MS = (1, 2), (4_102_444_800_000, 4_102_444_800_001)
HOUR_S = 3600.0
ANSWER_S = 5.0
"""What a channel's message may take on a busy machine."""

EXPLORE = int(os.environ.get("OPSITE_HYPOTHESIS_EXAMPLES", "0"))
SETTINGS = settings(
    max_examples=EXPLORE or 70,
    stateful_step_count=50,
    deadline=None,
    derandomize=not EXPLORE,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)

submissions = st.fixed_dictionaries(
    {
        # Names that do not sort as they arrive.
        "initial": st.sampled_from("abc"),
        "tenant": st.sampled_from(TENANTS),
        "weight": st.sampled_from((1.0, 1.0, 0.5, 2.0, 3.0)),
        "priority": st.sampled_from((5, 5, 0, 9)),
        "deadline_ms": st.sampled_from((0, 0, 0, 0, *FUTURE_MS, *FUTURE_MS, *PAST_MS)),
        "estimated_tokens": st.sampled_from((100, 100, 7, 1000)),
        "max_waiting": st.sampled_from((0, 0, 0, 0, 0, 0, 1, 3)),
        "pool_max_waiting": st.sampled_from((0, 0, 0, 0, 0, 0, 3, 6)),
        "max_running": st.sampled_from((0, 0, 0, 1, 2)),
        "inbox": st.sampled_from((INBOX, "")),
    }
)
workers = st.sampled_from(WORKERS)
leases = st.sampled_from((HOUR_S, HOUR_S, 0.0))


def entry(event: Event) -> Entry:
    """An event in the model's words."""
    data = msgspec.json.decode(event.data)
    if event.kind == "state":
        return Entry("state", " ".join(str(data[name]) for name in ("state", "attempt") if name in data))
    if event.kind == "outcome":
        return Entry("outcome", " ".join(filter(None, (data["state"], data.get("error", {}).get("code")))))
    return Entry("text", data)


def note(record: Record) -> Note:
    """A record in the model's words."""
    outcome = " ".join(filter(None, (record.state, record.error and record.error.code))) or None
    return Note(record.kind, record.turn, record.attempt, record.worker, outcome)


class QueueMachine(RuleBasedStateMachine):
    """Each rule moves the model and Redis; the invariants compare the two."""

    turns = Bundle("turns")
    """Names of turns, refused ones included."""
    tickets = Bundle("tickets")
    """What claims returned: some of it holds, the rest is what zombies remember."""

    def __init__(self, redis: Redis) -> None:
        super().__init__()
        self.redis = redis
        self.queue = Queue(redis, f"pool-{uuid.uuid4().hex[:12]}")
        self.prefix = keys.prefix(self.queue.pool)
        self.model = QueueModel(now_ms=self.now_ms())
        self.submitted: dict[str, Submission] = {}
        self.beating: set[str] = set()
        self.tokens = 0
        self.heard: dict[str, list[Event]] = defaultdict(list)
        self.inbox = redis.pubsub()
        self.inbox.subscribe(keys.inbox(self.queue.pool, INBOX))
        assert self.inbox.get_message(timeout=ANSWER_S)["type"] == "subscribe"

    def teardown(self) -> None:
        """The pool leaves no key behind for the next example."""
        self.inbox.close()
        if names := self.redis.keys(f"{self.prefix}*"):
            self.redis.delete(*names)

    def now_ms(self) -> int:
        seconds, micros = self.redis.time()
        return seconds * 1000 + micros // 1000

    def news(self) -> list[Record]:
        """Records that the model does not know yet."""
        return self.queue.read_records(count=10_000)[len(self.model.records) :]

    # -- those who submit ----------------------------------------------------------------------
    @rule(target=turns, wishes=st.lists(submissions, min_size=1, max_size=4), again=st.none() | st.integers(0, 50))
    def enqueue(self, wishes: list[dict], again: int | None) -> object:
        """New turns in one pipeline, and sometimes one that the queue may know (`again` picks it)."""
        batch = []
        for wish in wishes:
            name = f"{wish['initial']}{len(self.submitted)}"
            more = {field: value for field, value in wish.items() if field != "initial"}
            self.submitted[name] = Submission(turn=name, task=f"task-{name}", body=TurnBody(prompt=name), **more)
            batch.append(self.submitted[name])
        # The sweep never asks for what was acknowledged: Postgres knows how that ended.
        gone = {turn.name for turn in self.model.at("acknowledged")}
        known = [submission for name, submission in self.submitted.items() if name not in gone]
        self.submit(batch + ([] if again is None else [known[again % len(known)]]))
        return multiple(*(submission.turn for submission in batch))

    def submit(self, batch: list[Submission]) -> None:
        before_ms = self.now_ms()
        answers = self.queue.enqueue(batch)
        earliest_ms = before_ms
        for submission, answer in zip(batch, answers, strict=True):
            assert answer.verdict == self.model.verdict(submission)
            if answer.verdict == "accepted":
                # Arrival is Redis' to say; that it tells the truth is checked here.
                arrival_ms = int(self.redis.zscore(f"{self.prefix}arrivals", submission.turn))
                assert earliest_ms <= arrival_ms <= self.now_ms()
                earliest_ms = arrival_ms
                self.model.enqueue(submission, arrival_ms=arrival_ms)
            assert answer.waiting == len(self.model.waiting(submission.tenant))

    @rule(names=st.lists(turns | st.just("nobody"), min_size=1, max_size=2))
    def cancel(self, names: list[str]) -> None:
        assert self.queue.cancel(names) == list(self.model.cancel(names))

    # -- workers -------------------------------------------------------------------------------
    @precondition(lambda self: self.model.rung)
    @rule(target=tickets, worker=workers, slots=st.integers(1, 5), lease_s=leases, speaks=st.booleans())
    def claim(self, worker: str, slots: int, lease_s: float, speaks: bool) -> object:
        answer = self.queue.claim(worker, slots, lease_s=lease_s)
        moved = [record.turn for record in self.news()]
        turns = self.model.claim(worker, slots, lapsed=lease_s == 0, moved=moved)
        assert answer == [self.as_claimed(turn) for turn in turns]
        if speaks:
            self.emit(worker, others=[], repeated=False)
        return multiple(*answer)

    def as_claimed(self, turn: Turn) -> ClaimedTurn:
        return ClaimedTurn(
            turn=turn.name,
            task=turn.submission.task,
            tenant=turn.tenant,
            attempt=turn.attempt,
            seq=len(turn.log),
            enqueued_ms=turn.arrival_ms,
            deadline_ms=turn.deadline_ms,
            body=turn.submission.body,
            streamed=tuple(turn.streamed),
        )

    @precondition(lambda self: self.model.at("running"))
    @rule(worker=workers, others=st.lists(tickets, max_size=2), repeated=st.sampled_from((False, False, True)))
    def emit(self, worker: str, others: list[ClaimedTurn], repeated: bool) -> None:
        """One engine step: all that the worker holds, and what others hold or held. A repeated number is the log's last."""
        spoken = [(name, self.model.turns[name].attempt) for name in sorted(self.model.held(worker))]
        spoken += [(claimed.turn, claimed.attempt) for claimed in others]
        deltas, lost = [], []
        for name, attempt in spoken:
            self.tokens += 1
            seq = len(self.model.turns[name].log) + (not repeated)
            text, token_ids = f'"{self.tokens}\n', (self.tokens, 70_000)
            deltas.append(Delta(turn=name, attempt=attempt, seq=seq, text=text, token_ids=token_ids))
            if not self.model.emit(worker, name, attempt, seq, text, token_ids):
                lost.append(name)
        self.check_stops(worker, self.queue.emit(worker, deltas), lost)

    @precondition(lambda self: self.model.at("running"))
    @rule(
        worker=workers,
        times=st.sampled_from((0, 1, 1, 2)),
        others=st.lists(tickets, max_size=2),
        state=st.sampled_from(("succeeded", "succeeded", "failed", "cancelled")),
        tokens=st.sampled_from((0, 100, 1234)),
        late=st.booleans(),
    )
    def finish(self, worker: str, times: int, others: list[ClaimedTurn], state: str, tokens: int, late: bool) -> None:
        """The worker ends one turn that it holds, perhaps twice, and what others hold or held; `late`: with a used number."""
        error = TaskError("engine_error", "It broke.") if state == "failed" else None
        outcome = "failed engine_error" if error else state
        ended = [(name, self.model.turns[name].attempt) for name in sorted(self.model.held(worker))[:1] * times]
        ended += [(claimed.turn, claimed.attempt) for claimed in others]
        finishes, lost = [], []
        for name, attempt in ended:
            turn = self.model.turns[name]
            finishes.append(
                Finish(
                    turn=name,
                    task=turn.submission.task,
                    attempt=attempt,
                    seq=len(turn.log) + (not late),
                    state=state,
                    error=error,
                    usage=Usage(tokens // 2, tokens - tokens // 2),
                )
            )
            if not self.model.finish(worker, name, attempt, outcome, tokens=tokens):
                lost.append(name)
        stops = self.queue.finish(worker, finishes)
        assert [(stop.turn, stop.reason) for stop in stops] == [(name, "lost") for name in lost]

    @rule(
        worker=workers,
        named=st.sampled_from(("all", "some", "none")),
        others=st.lists(turns, max_size=2),
        lease_s=leases,
    )
    def heartbeat(self, worker: str, named: str, others: list[str], lease_s: float) -> None:
        held = sorted(self.model.held(worker))
        names = {"all": held, "some": held[::2], "none": []}[named] + others
        status = WorkerStatus(worker=worker, phase="ready", engine="simulated", model="", slots=4)
        stops = self.queue.heartbeat(status, names, lease_s=lease_s)
        self.check_stops(worker, stops, self.model.heartbeat(worker, names, lapsed=lease_s == 0))
        self.beating.add(worker)

    def check_stops(self, worker: str, stops: list[Stop], lost: list[str]) -> None:
        expected = [(name, "lost") for name in lost] + list(self.model.stops(worker).items())
        assert sorted((stop.turn, stop.reason) for stop in stops) == sorted(expected)

    @precondition(lambda self: self.model.at("running"))
    @rule(worker=workers, part=st.sampled_from((1, 2, 3)), others=st.lists(turns, max_size=2))
    def release(self, worker: str, part: int, others: list[str]) -> None:
        """All that the worker holds, or every second or third turn of it; after all of it, the worker leaves."""
        names = others + sorted(self.model.held(worker))[::part]
        assert self.queue.release(worker, names) == self.model.release(worker, names)
        if part == 1:
            self.queue.leave(worker)
            self.beating.discard(worker)

    # -- the orchestrator and the recorder -------------------------------------------------------
    @precondition(lambda self: self.model.overdue())
    @rule(max_attempts=st.sampled_from((3, 3, 2, 1)))
    def reap(self, max_attempts: int) -> None:
        count = self.queue.reap(max_attempts=max_attempts)
        moved = [record.turn for record in self.news()]
        assert count == self.model.reap(max_attempts=max_attempts, moved=moved)

    @precondition(lambda self: self.young())
    @rule(nth=st.integers(0, 20), past_ms=st.sampled_from(PAST_MS))
    def a_deadline_passes(self, nth: int, past_ms: int) -> None:
        """The one thing that no call can bring about without waiting: a running turn grows too old."""
        name = self.young()[nth % len(self.young())]
        self.redis.zadd(f"{self.prefix}deadlines", {name: past_ms})
        self.redis.hset(f"{self.prefix}turn:{name}", "deadline", past_ms)
        self.model.age(name, past_ms)

    def young(self) -> list[str]:
        return [turn.name for turn in self.model.at("running") if turn.deadline_ms in FUTURE_MS]

    @rule(count=st.integers(1, 12))
    def acknowledge(self, count: int) -> None:
        self.queue.acknowledge(self.queue.read_records(count=count), keep_log_s=HOUR_S)
        self.model.acknowledge(count)

    @precondition(lambda self: len(self.model.turns) > 20)
    @rule()
    def everything_ends(self) -> None:
        """All turns are ended and acknowledged: no key is left but what a living pool keeps, and logs that will go."""
        names = [turn.name for turn in self.model.at("waiting", "running")]
        self.cancel(names) if names else None
        for worker in WORKERS:
            self.release(worker, part=1, others=[])
        self.acknowledge(10_000)
        logs = {f"log:{turn.submission.task}" for turn in self.model.turns.values()}
        left = {name for name in self.keys() if not name.startswith("worker")}
        assert left - {"bell", "left", "max_running"} == logs | {"service", "record"}

    # -- what always holds -----------------------------------------------------------------------
    def keys(self) -> set[str]:
        return {name.decode().removeprefix(self.prefix) for name in self.redis.keys(f"{self.prefix}*")}

    @invariant()
    def every_turn_is_in_one_place(self) -> None:
        """Compared with each other first, then with the model."""
        pipeline = self.redis.pipeline(transaction=False)
        pipeline.zrange(f"{self.prefix}arrivals", 0, -1, withscores=True)
        pipeline.zrange(f"{self.prefix}leases", 0, -1, withscores=True)
        pipeline.zrange(f"{self.prefix}deadlines", 0, -1, withscores=True)
        pipeline.zrange(f"{self.prefix}active", 0, -1, withscores=True)
        pipeline.hgetall(f"{self.prefix}service")
        for tenant in TENANTS:
            pipeline.zrange(f"{self.prefix}wait:{tenant}", 0, -1)
        for worker in WORKERS:
            pipeline.smembers(f"{self.prefix}held:{worker}")
            pipeline.hgetall(f"{self.prefix}stop:{worker}")
        for tenant in TENANTS:
            pipeline.smembers(f"{self.prefix}running:{tenant}")
        arrivals, leased, deadlines, active, service, *more = pipeline.execute()
        waiting = {tenant: _names(more[nth]) for nth, tenant in enumerate(TENANTS)}
        held = {worker: more[len(TENANTS) + 2 * nth] for nth, worker in enumerate(WORKERS)}
        stops = {worker: more[len(TENANTS) + 2 * nth + 1] for nth, worker in enumerate(WORKERS)}
        running = dict(zip(TENANTS, more[-len(TENANTS) :], strict=True))

        in_line = [name for names in waiting.values() for name in names]
        in_hand = [name.decode() for names in held.values() for name in names]
        assert len(in_line) == len(arrivals)
        assert set(in_line) == {name.decode() for name, _ in arrivals}
        assert len(in_hand) == len(leased)
        assert set(in_hand) == {name.decode() for name, _ in leased}
        assert not set(in_line) & set(in_hand)
        assert sorted(in_hand) == sorted(name.decode() for names in running.values() for name in names)
        assert {tenant.decode() for tenant, _ in active} <= {tenant for tenant, names in waiting.items() if names}

        model = self.model
        now_ms = self.now_ms()
        for tenant, names in waiting.items():
            assert set(names) == {turn.name for turn in model.waiting(tenant)}
            assert {name.decode() for name in running[tenant]} == model.running(tenant)
        for worker in WORKERS:
            assert {name.decode() for name in held[worker]} == model.held(worker)
            assert {n.decode(): r.decode() for n, r in stops[worker].items()} == model.stops(worker)
        assert {n.decode() for n, at_ms in leased if at_ms <= now_ms} == {
            t.name for t in model.at("running") if t.lapsed
        }
        assert {n.decode(): int(at_ms) for n, at_ms in arrivals} == {t.name: t.arrival_ms for t in model.at("waiting")}
        watched = {turn.name: turn.deadline_ms for turn in model.turns.values() if turn.watched}
        assert {n.decode(): int(at_ms) for n, at_ms in deadlines} == watched
        assert {tenant.decode(): float(n) for tenant, n in service.items()} == pytest.approx(
            model.counters.service, abs=1e-6
        )
        assert {tenant.decode(): n for tenant, n in active} == pytest.approx(model.active(), abs=1e-6)

    @invariant()
    def every_turn_says_so(self) -> None:
        turns = self.model.turns.values()
        assert self.queue.known([turn.name for turn in turns]) == [turn.place != "acknowledged" for turn in turns]
        pipeline = self.redis.pipeline(transaction=False)
        for turn in turns:
            pipeline.hmget(f"{self.prefix}turn:{turn.name}", "state", "worker", "attempt", "failures", "seq")
        for turn, stored in zip(turns, pipeline.execute(), strict=True):
            if turn.place in {"waiting", "running"}:
                facts = (turn.place, turn.worker or "", turn.attempt, turn.failures, len(turn.log))
                assert [value.decode() for value in stored] == [str(fact) for fact in facts]
            elif turn.place == "done":
                assert stored[0] == b"done"

    @invariant()
    def logs_have_no_gap_and_no_repeat(self) -> None:
        """The inbox told the same story as the logs, to those that followed."""
        self.listen()
        for turn in self.model.turns.values():
            log = self.queue.read_log(turn.submission.task)
            assert [event.seq for event in log] == list(range(1, len(log) + 1))
            assert all(event.kind != "outcome" for event in log[:-1])
            assert [entry(event) for event in log] == turn.log
            assert self.heard[turn.submission.task] == (log if turn.submission.inbox else [])

    def listen(self) -> None:
        """Hear all that followers must have been told by now, and what else has come."""
        followed = [turn for turn in self.model.turns.values() if turn.submission.inbox]
        missing = sum(len(turn.log) for turn in followed) - sum(map(len, self.heard.values()))
        while letter := self.inbox.get_message(timeout=ANSWER_S if missing > 0 else 0.0):
            for event in calls.read_letter(letter["data"]):
                self.heard[event.task].append(event)
                missing -= 1

    @invariant()
    def records_tell_each_end_once(self) -> None:
        notes = [note(record) for record in self.queue.read_records(count=10_000)]
        ended = [told.turn for told in notes if told.kind == "finished"]
        assert sorted(ended) == sorted(turn.name for turn in self.model.at("done"))
        assert notes == self.model.records

    @invariant()
    def no_key_is_left_over(self) -> None:
        extra = {"workers"} if self.beating else set()
        extra |= {f"worker:{worker}" for worker in self.beating}
        assert self.keys() == self.model.keys() | extra
        for turn in self.model.turns.values():
            goes = self.redis.pttl(f"{self.prefix}log:{turn.submission.task}") > 0
            assert goes == (turn.place == "acknowledged")

    @invariant()
    def signals_count(self) -> None:
        signals = self.queue.signals()
        assert (signals.waiting, signals.running) == (len(self.model.at("waiting")), len(self.model.at("running")))
        assert signals.held_back == self.model.held_back()
        oldest_ms = min((turn.arrival_ms for turn in self.model.at("waiting")), default=signals.now_ms)
        assert signals.oldest_wait_s == pytest.approx((signals.now_ms - oldest_ms) / 1000)
        assert {status.worker for status in signals.workers} == self.beating


def _names(members: list[bytes]) -> list[str]:
    """Turns of a tenant's line; the member's first part is its order."""
    return [member.decode().split(":", 1)[1] for member in members]


@pytest.mark.timeout(900)  # a failure takes its time to shrink
def test_any_order_of_calls_agrees_with_the_model(redis: Redis) -> None:
    run_state_machine_as_test(lambda: QueueMachine(redis), settings=SETTINGS)
