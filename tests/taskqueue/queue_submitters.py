"""The moves of those who submit: enqueue and cancel, on Redis and on the model."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import multiple, rule

from taskqueue.messages import Submission, TurnBody
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


class Submitters(QueueBesideModel):
    """Web processes and the sweep."""

    @rule(
        target=turns,
        wishes=st.lists(submissions, min_size=1, max_size=4),
        again=st.none() | st.integers(0, 50),
        apart_ms=st.sampled_from((1, 1, 0)),
    )
    def enqueue(self, wishes: list[dict], again: int | None, apart_ms: int) -> object:
        """New turns in one pipeline, and sometimes one that the queue may know (`again` picks it); all in one moment, or not."""
        self.clock.tick(apart_ms)
        batch = []
        for wish in wishes:
            name = f"{wish['initial']}{len(self.submitted)}"
            more = {field: value for field, value in wish.items() if field != "initial"}
            if not more["key"]:
                more |= {"key_max_waiting": 0, "key_max_running": 0}
            else:
                more["key"] = f"{more['tenant']}-{more['key']}"
            self.submitted[name] = Submission(turn=name, task=f"task-{name}", body=TurnBody(prompt=name), **more)
            batch.append(self.submitted[name])
        # The sweep never asks for what was acknowledged: Postgres knows how that ended.
        gone = {turn.name for turn in self.model.at("acknowledged")}
        known = [submission for name, submission in self.submitted.items() if name not in gone]
        self.submit(batch + ([] if again is None else [known[again % len(known)]]))
        return multiple(*(submission.turn for submission in batch))

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
