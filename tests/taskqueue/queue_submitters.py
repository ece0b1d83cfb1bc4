"""The moves of those who submit, of tools and of who ends tasks: on Redis and on the model."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import multiple, precondition, rule

from taskqueue.messages import Held, Submission, TaskError, TurnBody
from tests.taskqueue.queue_machine import FUTURE_MS, INBOX, KEYS, PAST_MS, TENANTS, QueueBesideModel, turns

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
        "key": st.sampled_from(("", *KEYS)),
        "key_max_waiting": st.sampled_from((0, 0, 0, 0, 1, 3)),
        "key_max_running": st.sampled_from((0, 1, 1, 1, 2)),
        "inbox": st.sampled_from((INBOX, "")),
    }
)

holds = st.fixed_dictionaries(
    {
        "tenant": st.sampled_from(TENANTS),
        "before": st.sampled_from((0, 1)),
        "max_waiting": st.sampled_from((0, 0, 1, 3)),
        "key": st.sampled_from(("", *KEYS)),
        "before_of_key": st.sampled_from((0, 1)),
        "key_max_waiting": st.sampled_from((0, 0, 1, 3)),
        "inbox": st.sampled_from((INBOX, "")),
    }
)


class Submitters(QueueBesideModel):
    """Web processes and the sweep."""

    @rule(
        target=turns,
        wishes=st.lists(submissions, min_size=1, max_size=4),
        again=st.none() | st.integers(0, 50),
        next_of=st.none() | st.integers(0, 50),
        apart_ms=st.sampled_from((1, 1, 0)),
    )
    def enqueue(self, wishes: list[dict], again: int | None, next_of: int | None, apart_ms: int) -> object:
        """New turns in one pipeline, all in one moment or not: the first may be the next of a task that waits (`next_of` picks
        it), the others begin tasks; and sometimes one more that the queue may know (`again` picks it).
        """
        self.clock.tick(apart_ms)
        batch, on = [], None
        if next_of is not None and (waiting := self.model.between_turns()):
            on = waiting[next_of % len(waiting)]
        for wish in wishes:
            name = f"{wish['initial']}{len(self.submitted)}"
            more = {field: value for field, value in wish.items() if field != "initial"}
            if not more["key"]:
                more |= {"key_max_waiting": 0, "key_max_running": 0}
            else:
                more["key"] = f"{more['tenant']}-{more['key']}"
            task = f"task-{name}"
            if on:
                task, more["inbox"], on = on.name, INBOX if on.followed else "", None
            self.submitted[name] = Submission(turn=name, task=task, body=TurnBody(prompt=name), **more)
            batch.append(self.submitted[name])
        known = [one for one in self.submitted.values() if one in batch or self.may_come_again(one)]
        self.submit(batch + ([] if again is None else [known[again % len(known)]]))
        return multiple(*(submission.turn for submission in batch))

    def may_come_again(self, submission: Submission) -> bool:
        """The sweep never asks for what was acknowledged, and a task has one turn at a time: Postgres knows."""
        turn, task = self.model.turns.get(submission.turn), self.model.tasks.get(submission.task)
        return turn.place != "acknowledged" if turn else task is None

    def submit(self, batch: list[Submission]) -> None:
        before_ms = self.clock.now_ms()
        answers = self.queue.enqueue(batch)
        earliest_ms = before_ms
        for submission, answer in zip(batch, answers, strict=True):
            assert answer.verdict == self.model.verdict(submission)
            if answer.verdict == "accepted":
                # Arrival is Redis' to say; that it tells the truth is checked here.
                arrival_ms = int(self.redis.zscore(f"{self.prefix}arrivals", submission.turn))
                assert earliest_ms <= arrival_ms <= self.clock.now_ms()
                earliest_ms = arrival_ms
                self.model.enqueue(submission, arrival_ms=arrival_ms)
            assert answer.waiting == self.model.length(submission.tenant)

    @rule(names=st.lists(turns | st.just("nobody"), min_size=1, max_size=2))
    def cancel(self, names: list[str]) -> None:
        assert self.queue.cancel(names) == list(self.model.cancel(names))

    @rule(wish=holds, again=st.booleans())
    def hold(self, wish: dict, again: bool) -> None:
        """A task waits for its conversation; `again`: the queue may know it."""
        more = {**wish, "key": f"{wish['tenant']}-{wish['key']}"} if wish["key"] else {**wish, "key_max_waiting": 0}
        known = next(iter(self.model.tasks), None) if again else None
        self.holds += 1
        held = Held(task=known or f"held-{self.holds}", **more)
        (answer,) = self.queue.hold([held])
        assert answer.verdict == self.model.hold(held)
        waiting = self.model.length(held.tenant) + held.before
        assert answer.waiting == waiting + (answer.verdict == "accepted")

    @precondition(lambda self: self.model.tasks)
    @rule(nth=st.integers(0, 20), call=st.sampled_from(("c1", "c2", "c3")), waits=st.booleans())
    def note(self, nth: int, call: str, waits: bool) -> None:
        """A tool's result, perhaps a second time."""
        name = self.a_task(nth, waits=waits)
        self.tokens += 1
        data = f'{{"id":"{call}","text":"{self.tokens}"}}'
        assert self.queue.note(name, "tool_result", data, once=call) == self.model.note(name, call)

    @precondition(lambda self: self.model.tasks)
    @rule(nth=st.integers(0, 20), waits=st.booleans(), failed=st.booleans())
    def end_task(self, nth: int, waits: bool, failed: bool) -> None:
        """It is cancelled between its turns, or fails there."""
        self.close(self.a_task(nth, waits=waits), failed=failed)

    def close(self, name: str, *, failed: bool) -> None:
        error = TaskError("tool_error", "It broke.") if failed else None
        ended = self.queue.end_task(name, turn="last", state="failed" if failed else "cancelled", error=error)
        assert ended == self.model.end_task(name, "last", "failed tool_error" if failed else "cancelled")

    def a_task(self, nth: int, *, waits: bool) -> str:
        """One that `waits` if there is such a one, or any."""
        tasks = (self.model.between_turns() if waits else []) or list(self.model.tasks.values())
        return tasks[nth % len(tasks)].name
