"""What holds after every step of the stateful test: Redis agrees with itself, and with the model."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis.stateful import invariant

from taskqueue import entries
from taskqueue.messages import Event, Record
from tests.taskqueue.queue_machine import ANSWER_S, OWNERS, TENANTS, WORKERS, QueueBesideModel
from tests.taskqueue.queue_turn import Entry, Note


def entry(event: Event) -> Entry:
    """An event in the model's words."""
    data = msgspec.json.decode(event.data)
    if event.kind == "state":
        return Entry("state", " ".join(str(data[name]) for name in ("state", "attempt") if name in data))
    if event.kind == "attempt":
        return Entry("attempt", f"{data['attempt']} {data['reason']}")
    if event.kind == "outcome":
        return Entry("outcome", " ".join(filter(None, (data["state"], data.get("error", {}).get("code")))))
    return Entry("text", data)


def note(record: Record) -> Note:
    """A record in the model's words."""
    outcome = " ".join(filter(None, (record.state, record.error and record.error.code))) or None
    return Note(record.kind, record.turn, record.attempt, record.worker, outcome)


class Invariants(QueueBesideModel):
    """Compared after each rule."""

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
        for tenant in TENANTS:
            pipeline.zrange(f"{self.prefix}apart:{tenant}", 0, -1)
        for worker in WORKERS:
            pipeline.smembers(f"{self.prefix}held:{worker}")
            pipeline.hgetall(f"{self.prefix}stop:{worker}")
        for tenant in TENANTS:
            pipeline.smembers(f"{self.prefix}running:{tenant}")
        pipeline.smembers(f"{self.prefix}apart")
        pipeline.hgetall(f"{self.prefix}wards")
        arrivals, leased, deadlines, active, service, *more, apart, wards = pipeline.execute()
        waiting = {tenant: _names(more.pop(0)) for tenant in TENANTS}
        suspects = {tenant: _names(more.pop(0)) for tenant in TENANTS}
        held, stops = {}, {}
        for worker in WORKERS:
            held[worker], stops[worker] = more.pop(0), more.pop(0)
        running = dict(zip(TENANTS, more, strict=True))

        in_line = [name for names in (*waiting.values(), *suspects.values()) for name in names]
        in_hand = [name.decode() for names in held.values() for name in names]
        assert len(in_line) == len(arrivals)
        assert set(in_line) == {name.decode() for name, _ in arrivals}
        assert len(in_hand) == len(leased)
        assert set(in_hand) == {name.decode() for name, _ in leased}
        assert not set(in_line) & set(in_hand)
        assert sorted(in_hand) == sorted(name.decode() for names in running.values() for name in names)
        assert {tenant.decode() for tenant, _ in active} <= {tenant for tenant, names in waiting.items() if names}

        model = self.model
        now_ms = self.clock.now_ms()
        for tenant, names in waiting.items():
            assert set(names) == {turn.name for turn in model.waiting(tenant)}
            assert set(suspects[tenant]) == {turn.name for turn in model.suspects(tenant)}
            assert {name.decode() for name in running[tenant]} == model.running(tenant)
        assert {tenant.decode() for tenant in apart} == {tenant for tenant, names in suspects.items() if names}
        assert {worker.decode(): ward.decode() for worker, ward in wards.items()} == model.wards()
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
    def each_key_has_its_turns_and_holds_back_the_rest(self) -> None:
        """Of a key with a running limit only the first waiting turn is free, and only while the key may run one more."""
        pipeline = self.redis.pipeline(transaction=False)
        for owner in OWNERS:
            pipeline.zrange(f"{self.prefix}wait:{owner}", 0, -1, withscores=True)
            pipeline.smembers(f"{self.prefix}running:{owner}")
        pipeline.hgetall(f"{self.prefix}max_running")
        *stored, limits = pipeline.execute()
        model = self.model
        assert {owner.decode(): int(most) for owner, most in limits.items()} == model.max_running
        lines = dict(zip(OWNERS, stored[::2], strict=True))
        firsts = set()
        for owner, running in zip(OWNERS, stored[1::2], strict=True):
            assert {name.decode() for name in running} == model.running(owner)
            assert set(_names([member for member, _ in lines[owner]])) == {turn.name for turn in model.waiting(owner)}
            if lines[owner] and owner not in TENANTS and model.may_run(owner):
                firsts.add(_names([lines[owner][0][0]])[0])
        for tenant in TENANTS:
            for member, score in lines[tenant]:
                (name,) = _names([member])
                held = model.turns[name].submission.key in model.max_running and name not in firsts
                assert score == held, (name, score)

    @invariant()
    def every_turn_says_so(self) -> None:
        turns = self.model.turns.values()
        assert self.queue.known([turn.name for turn in turns]) == [turn.place != "acknowledged" for turn in turns]
        pipeline = self.redis.pipeline(transaction=False)
        counts = ("failures", "losses", "apart")
        for turn in turns:
            pipeline.hmget(f"{self.prefix}turn:{turn.name}", "state", "worker", "attempt", "seq", *counts)
        for turn, stored in zip(turns, pipeline.execute(), strict=True):
            if turn.place in {"waiting", "running"}:
                facts = (turn.place, turn.worker or "", turn.attempt, len(turn.log))
                assert [value.decode() for value in stored[:4]] == [str(fact) for fact in facts]
                assert [int(value or 0) for value in stored[4:]] == [getattr(turn, count) for count in counts]
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
            for event in entries.read_letter(letter["data"]):
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
        waiting_tokens = sum(turn.submission.estimated_tokens for turn in self.model.at("waiting"))
        assert signals.waiting_tokens == waiting_tokens
        assert (signals.arrived, signals.arrived_tokens) == (self.model.arrived, self.model.arrived_tokens)
        oldest_ms = min((turn.arrival_ms for turn in self.model.at("waiting")), default=signals.now_ms)
        assert signals.oldest_wait_s == pytest.approx((signals.now_ms - oldest_ms) / 1000)
        assert {status.worker for status in signals.workers} == self.beating


def _names(members: list[bytes]) -> list[str]:
    """Turns of a tenant's line; the member's first part is its order."""
    return [member.decode().split(":", 1)[1] for member in members]
