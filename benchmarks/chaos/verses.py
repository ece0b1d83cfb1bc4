"""The tasks of the real model: what each says undisturbed, and whether each stream is right to the token.

A fixed seed makes every answer a function of its prompt, but for the last bit of a logit (benchmarks.chaos.seam). So where the
token ids of a stream were read from its log they are judged instead of its letters; where the log had gone, the letters must be
equal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

from benchmarks.chaos.clients import Api, Wanted
from benchmarks.chaos.scene import VERSE, VERSE_MODEL
from benchmarks.chaos.verdict import Told, Violation, text_of
from benchmarks.stack import ROOT
from taskqueue.messages import ChatMessage, SamplingParams, TurnBody

AT_ONCE = 16
TOKENS = 160
"""Long enough that a fault often finds an answer half said."""


class Verdict(NamedTuple):
    """On the streams of the real model. `moved`: those that left the undisturbed text; `violations`: where a token is not right."""

    judged: int
    moved: list[str]
    violations: list[Violation]


def verse(number: int, tenants: tuple[str, str]) -> Wanted:
    """One of them; its text is not known yet."""
    parameters = {"max_tokens": TOKENS, "seed": number, "temperature": 0.8}
    return Wanted(f"verse-{number}", tenants[number % 2], VERSE, f"Speak of the sea, the {number}th time.", parameters)


async def undisturbed(api: Api, count: int, tenants: tuple[str, str]) -> list[Wanted]:
    """The answers before anything is hurt."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(wanted: Wanted) -> Wanted:
        async with room:
            told = await api.do(replace(wanted, key=f"calm-{wanted.key}"))
        return replace(wanted, text=text_of(told.seen))

    return list(await asyncio.gather(*(one(verse(number, tenants)) for number in range(count))))


def judge(all_told: Iterable[Told], wanted: Mapping[str, Wanted]) -> Verdict:
    """Judge the streams whose tokens are known, and have their letters judged no more (`expected` is cleared)."""
    those = [told for told in all_told if told.pool == VERSE and told.tokens and told.outcome == "succeeded"]
    if not those:
        return Verdict(0, [], [])
    from benchmarks.chaos.seam import Reference  # torch takes seconds and 300 MB, and only this needs it

    reference = Reference(ROOT / VERSE_MODEL)
    verdict = Verdict(len(those), [told.key for told in those if text_of(told.seen) != told.expected], [])
    for told in those:
        task = wanted[told.key]
        body = TurnBody(messages=(ChatMessage("user", task.prompt),), params=SamplingParams(**task.parameters))
        faults = reference.faults(body, told.tokens, text_of(told.seen))
        verdict.violations.extend(Violation("seam", told.key, fault) for fault in faults)
        told.expected = None
    return verdict
