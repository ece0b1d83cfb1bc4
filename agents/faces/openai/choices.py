"""Several choices of one call: a task each, accepted together, and given up together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import NamedTuple

import msgspec
from starlette.requests import Request

from agents.faces import answers, leaving
from agents.faces.context import Context
from agents.faces.openai.following import followed, kept
from agents.faces.openai.gathering import Gathered, gathered
from agents.faces.openai.outcome import has_answer, problem_of
from agents.faces.principals import AgentRef
from agents.faces.requests import TaskRequest
from agents.faces.submitted import Submitted
from agents.problems import Problem, bad_field, stream_lost
from agents.sampling import layered
from taskqueue.messages import Event

N_MAX = 8
SEED_MAX = 2**63 - 1


class Heard(NamedTuple):
    """New events of the choice of that number; none after a silence."""

    choice: int
    events: list[Event]


def wanted_n(n: int | None) -> int:
    """How many choices, or the `Problem` of a number that is not served."""
    if n is not None and not 1 <= n <= N_MAX:
        raise bad_field("n", f"must be between 1 and {N_MAX}")
    return n or 1


def several(task: TaskRequest, agent: AgentRef, n: int) -> list[TaskRequest]:
    """The task `n` times. With a seed (the request's, or else the agent's) choice i has the seed + i: each can be had again."""
    seed = layered(agent.default_params, agent.params, task.parameters).get("seed")
    if n == 1 or not isinstance(seed, int):
        return [task] * n
    return [
        msgspec.structs.replace(task, parameters={**task.parameters, "seed": _wrapped(seed + number)})
        for number in range(n)
    ]


def _wrapped(seed: int) -> int:
    return seed if seed <= SEED_MAX else seed - 2 * (SEED_MAX + 1)


async def heard(choices: Sequence[Submitted], *, timeout_s: float) -> AsyncGenerator[Heard, None]:
    """The events of all choices as they come. Each ends by itself; who has had enough closes this."""
    streams = [followed(one) for one in choices]
    waiting: dict[asyncio.Future[list[Event]], int] = {}
    try:
        for index, one in enumerate(choices):
            if events := kept(one):
                yield Heard(index, events)
            elif len(choices) == 1:  # no task of its own: this is the path of nearly every token
                while not streams[0].ended:
                    yield Heard(0, await streams[0].batch(timeout_s=timeout_s))
            else:
                waiting[asyncio.ensure_future(streams[index].batch(timeout_s=timeout_s))] = index
        while waiting:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for batch in sorted(done, key=waiting.__getitem__):
                index = waiting.pop(batch)
                events = batch.result()
                if not streams[index].ended:
                    waiting[asyncio.ensure_future(streams[index].batch(timeout_s=timeout_s))] = index
                yield Heard(index, events)
    finally:
        for batch in waiting:
            batch.cancel()


class _Failed(Exception):
    """A choice ended without an answer."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


async def all_gathered(context: Context, request: Request, choices: Sequence[Submitted]) -> list[Gathered]:
    """The whole answers, or the `Problem` of the first that has none. A client that leaves ends those that end with it."""
    watching: asyncio.Task[None] | None = None
    if any(one.ends_with_client for one in choices):
        watching = asyncio.create_task(_abandon_when_left(request, choices), name="until the client leaves")
    gathering = [asyncio.create_task(_answered(one), name="a choice") for one in choices]
    try:
        return list(await asyncio.gather(*gathering))
    except _Failed as failed:
        await give_up(context, choices)
        raise failed.problem from None
    finally:
        for task in (*gathering, *([watching] if watching else [])):
            task.cancel()
        await asyncio.gather(*gathering, return_exceptions=True)
        if any(followed(one).abandoned for one in choices):
            await leaving.end(context, choices)


async def give_up(context: Context, choices: Sequence[Submitted]) -> None:
    """One of several choices has failed, and the call with it: nobody will read the others."""
    if len(choices) > 1:
        await leaving.cancel(context, choices)


async def _answered(choice: Submitted) -> Gathered:
    answer = await gathered(choice)
    if answer.outcome is None:
        raise stream_lost()
    if not has_answer(answer.outcome):
        raise _Failed(problem_of(answer.outcome, text=answer.text))
    return answer


async def _abandon_when_left(request: Request, choices: Sequence[Submitted]) -> None:
    """Give up the streams when the client of the request has gone."""
    await answers.until_left(request.receive)
    for one in choices:
        followed(one).abandon()
