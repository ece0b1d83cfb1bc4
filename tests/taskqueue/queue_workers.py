"""The moves of workers, zombies among them: claim, emit, finish, heartbeat, release, on Redis and on the model."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import multiple, precondition, rule

from taskqueue.messages import ClaimedTurn, Delta, Finish, Stop, TaskError, ToolCall, Usage, WorkerStatus
from tests.taskqueue.queue_machine import HOUR_S, WORKERS, QueueBesideModel, tickets, turns
from tests.taskqueue.queue_turn import Entry, Turn

workers = st.sampled_from(WORKERS)
leases = st.sampled_from((HOUR_S, HOUR_S, 0.0))
CALL = ToolCall("c1", "look_up", "{}")


class Workers(QueueBesideModel):
    """What a worker says of turns that it holds, held once, or never held."""

    @precondition(lambda self: self.model.rung or self.model.suspects())
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
            first=turn.first,
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
        goes_on=st.sampled_from(("", "", "tool_calls", "summary")),
    )
    def finish(
        self, worker: str, times: int, others: list[ClaimedTurn], state: str, tokens: int, late: bool, goes_on: str
    ) -> None:
        """The worker ends one turn that it holds, perhaps twice, and what others hold or held; `late`: with a used number;
        `goes_on`: the event behind which the task waits.
        """
        error = TaskError("engine_error", "It broke.") if state == "failed" else None
        outcome = "failed engine_error" if error else state
        behind = Entry(goes_on, outcome if goes_on == "summary" else CALL.id) if goes_on else None
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
                    tool_calls=(CALL,) if goes_on == "tool_calls" else (),
                    goes_on=bool(goes_on),
                    summarises=3 if goes_on == "summary" else 0,
                )
            )
            if not self.model.finish(worker, name, attempt, outcome, tokens=tokens, goes_on=behind):
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
