"""Many pools' queues at once: what the orchestrator asks all of them every second, or ten times a second, in few round trips.

One pool's trouble is that pool's: each answer stands for itself. On Redis Cluster a client must split such a pipeline by slots.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from redis import Redis, exceptions

from taskqueue import calls, keys
from taskqueue.calls import Call
from taskqueue.failures import QueueUnavailable, translated
from taskqueue.messages import PoolSignals

T = TypeVar("T")

AT_ONCE = 64
"""Pools in one round trip: enough that it costs little, few enough that their answers stay small."""

_BAD_NAME = "its slug cannot be a queue's name: use lower-case letters, digits, '.', '_' and '-', at most 63"


class Pools:
    """The queues of many pools over one client. A pool's answer is a value, or the exception that its call ended with.

    That is `QueueUnavailable` when Redis cannot be reached or refuses to work.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self.round_trips = 0
        """So many were made until now."""

    def signals(self, pools: Sequence[str], running: Mapping[str, int]) -> dict[str, PoolSignals | Exception]:
        """Demand and fleet of pools, after each was told the running limits as they are now: they change demand."""
        told, asked = calls.limit(running), calls.signals()
        found = self._run([(pool, call) for pool in pools for call in (told, asked)], at_once=2 * AT_ONCE)
        return {
            pool: said if isinstance(said, Exception) else seen
            for pool, said, seen in zip(pools, found[::2], found[1::2], strict=True)
        }

    def read(self, pools: Sequence[str]) -> dict[str, PoolSignals | Exception]:
        """Demand and fleet of pools, for whoever only looks."""
        asked = calls.signals()
        return dict(zip(pools, self._run([(pool, asked) for pool in pools], at_once=AT_ONCE), strict=True))

    def reap(self, due: Mapping[str, Call[int]]) -> dict[str, int | Exception]:
        """Look after the leases of pools; `due` holds each one's call (`calls.reap`)."""
        return dict(zip(due, self._run(list(due.items()), at_once=AT_ONCE), strict=True))

    def _run(self, batch: Sequence[tuple[str, Call[Any]]], *, at_once: int) -> list[Any]:
        """The answers in the batch's order. A pool whose name no queue can have is not asked."""
        named = [(pool, call) for pool, call in batch if keys.is_pool_name(pool)]
        found = iter(self._asked(named, at_once=at_once))
        return [next(found) if keys.is_pool_name(pool) else keys.BadPoolName(_BAD_NAME) for pool, _ in batch]

    def _asked(self, batch: Sequence[tuple[str, Call[Any]]], *, at_once: int) -> list[Any]:
        """One round trip for so many calls, or two when Redis has lost the scripts. A Redis that is away is asked once."""
        answers: list[Any] = []
        for at in range(0, len(batch), at_once):
            some = batch[at : at + at_once]
            try:
                with translated():
                    try:
                        found = self._bring_and_send(some)
                    except (
                        exceptions.ConnectionError
                    ):  # hung up on since the last time; none of these calls minds a second one
                        found = self._bring_and_send(some)
            except QueueUnavailable as error:
                return answers + [error] * (len(batch) - at)
            answers += [_value(answer, call.parse) for answer, (_, call) in zip(found, some, strict=True)]
        return answers

    def _bring_and_send(self, batch: Sequence[tuple[str, Call[Any]]]) -> list[Any]:
        answers = self._send(batch)
        lost = [at for at, answer in enumerate(answers) if isinstance(answer, exceptions.NoScriptError)]
        if lost:
            for text in {batch[at][1].script.text for at in lost}:
                self._redis.script_load(text)
            for at, answer in zip(lost, self._send([batch[at] for at in lost]), strict=True):
                answers[at] = answer
        return answers

    def _send(self, batch: Sequence[tuple[str, Call[Any]]]) -> list[Any]:
        pipeline = self._redis.pipeline(transaction=False)
        for pool, call in batch:
            pipeline.evalsha(call.script.sha, 1, keys.prefix(pool), *call.args)
        self.round_trips += 1
        return pipeline.execute(raise_on_error=False)


def _value(answer: Any, parse: Callable[[Any], T]) -> T | Exception:
    try:
        with translated():
            if isinstance(answer, Exception):
                raise answer
            return parse(answer)
    except Exception as error:
        return error
