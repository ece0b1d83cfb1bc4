"""Honest API clients: an idempotency key, a retry after what says "try again", and a stream that is taken up at its cursor.

Each is one task from submission to outcome, on whichever of the two web processes answers.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from benchmarks.chaos.verdict import Seen, Told, stands_still
from gpu_worker.engines.simulated_text import whole_answer
from opsite.demo.events import read_events
from taskqueue.messages import ChatMessage, SamplingParams, TurnBody

SUBMIT_S = 10.0
"""How long a client waits for the answer to a submission before it asks again."""
SILENT_S = 8.0
"""How long a client waits for a stream's next byte before it reconnects."""
AGAIN_S = 0.5
TRY_AGAIN = frozenset({409, 429, 500, 502, 503, 504})
GIVE_UP_S = 180.0
"""After so long without acceptance, or without a new event, a client gives up."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One task to be done. `text` is the undisturbed answer, where it is known."""

    key: str
    tenant: str
    pool: str
    prompt: str
    parameters: dict[str, Any]
    text: str | None = None


def simulated(number: int, *, pool: str, tenant: str, rng: random.Random) -> Wanted:
    """A task whose text can be computed."""
    prompt = f"Task {number} of {tenant}: {rng.getrandbits(64):x}"
    length = rng.randint(30, 70)
    body = TurnBody(messages=(ChatMessage("user", prompt),), params=SamplingParams(max_tokens=length))
    return Wanted(f"sim-{number}", tenant, pool, prompt, {"max_tokens": length}, whole_answer(body).text)


@dataclass(slots=True)
class Api:
    """The service as its clients know it."""

    urls: Sequence[str]
    keys: dict[str, str]
    rng: random.Random
    _client: httpx.AsyncClient = field(init=False)
    _open: dict[str, Told] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._client = httpx.AsyncClient(limits=httpx.Limits(max_connections=None, max_keepalive_connections=100))

    async def aclose(self) -> None:
        """Hang up."""
        await self._client.aclose()

    async def do(self, wanted: Wanted) -> Told:
        """One task, from its submission to its outcome or to the client's last patience."""
        told = self._open[wanted.key] = Told(wanted.key, wanted.pool, expected=wanted.text)
        await self._submit(wanted, told)
        if told.ids:
            await self._follow(wanted, told, next(iter(told.ids)))
        del self._open[wanted.key]
        return told

    def still(self, since: float) -> int:
        """How many streams have begun, have not ended, and have had no event since `since` (monotonic)."""
        return sum(stands_still(told.seen, since) for told in self._open.values())

    async def _submit(self, wanted: Wanted, told: Told) -> None:
        body = {"agent": wanted.pool, "input": wanted.prompt, "parameters": wanted.parameters}
        headers = {"Authorization": f"Bearer {self.keys[wanted.tenant]}", "Idempotency-Key": wanted.key}
        give_up_at = time.monotonic() + GIVE_UP_S
        while time.monotonic() < give_up_at:
            url = self.rng.choice(self.urls)
            try:
                answer = await self._client.post(f"{url}/api/v1/tasks", json=body, headers=headers, timeout=SUBMIT_S)
            except httpx.HTTPError:
                await asyncio.sleep(AGAIN_S)
                continue
            if answer.status_code == 202:
                told.ids.add(answer.json()["id"])
                told.accepted_at = told.accepted_at or time.monotonic()
                return
            if answer.status_code not in TRY_AGAIN:
                told.refusal = f"{answer.status_code} {answer.text[:200]}"
                return
            await asyncio.sleep(AGAIN_S)

    async def ask_again(self, wanted: Wanted, told: Told) -> None:
        """The same submission once more, after the end: it must be the same task."""
        await self._submit(wanted, told)

    async def _follow(self, wanted: Wanted, told: Told, task: str) -> None:
        authorization = {"Authorization": f"Bearer {self.keys[wanted.tenant]}"}
        give_up_at = time.monotonic() + GIVE_UP_S
        while not told.outcome and time.monotonic() < give_up_at:
            last = told.seen[-1].number if told.seen else 0
            headers = {**authorization, "Last-Event-ID": str(last)}
            told.connected_at.append(time.monotonic())
            url = f"{self.rng.choice(self.urls)}/api/v1/tasks/{task}/events"
            timeout = httpx.Timeout(SUBMIT_S, read=SILENT_S)
            try:
                async with self._client.stream("GET", url, headers=headers, timeout=timeout) as answer:
                    if answer.status_code == 200:
                        async for number, kind, data in read_events(answer.aiter_lines()):
                            told.seen.append(Seen(number, kind, data.get("text", ""), time.monotonic()))
                            give_up_at = time.monotonic() + GIVE_UP_S
                            if kind == "outcome":
                                told.outcome = data["state"]
                    elif answer.status_code not in TRY_AGAIN:
                        await answer.aread()
                        told.refusal = f"{answer.status_code} {answer.text[:200]}"
                        return
            except httpx.HTTPError:
                pass
            if not told.outcome:
                await asyncio.sleep(AGAIN_S)

    async def record(self, wanted: Wanted, task: str) -> dict[str, Any]:
        """The task's record, asked for until it has an outcome."""
        headers = {"Authorization": f"Bearer {self.keys[wanted.tenant]}"}
        give_up_at = time.monotonic() + GIVE_UP_S
        record: dict[str, Any] = {}
        while time.monotonic() < give_up_at and not record.get("finished_at"):
            url = f"{self.rng.choice(self.urls)}/api/v1/tasks/{task}"
            try:
                answer = await self._client.get(url, headers=headers, timeout=SUBMIT_S)
                record = answer.json() if answer.status_code == 200 else {}
            except httpx.HTTPError:
                pass
            await asyncio.sleep(0 if record.get("finished_at") else AGAIN_S)
        return record
