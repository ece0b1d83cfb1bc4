"""Turns as the tests of the queue submit, stream and end them, each in one word."""

from __future__ import annotations

from taskqueue.messages import (
    ChatMessage,
    ClaimedTurn,
    Delta,
    Event,
    Finish,
    SamplingParams,
    Submission,
    TurnBody,
    Usage,
    WorkerStatus,
)

LEASE_S = 30.0


def turn(name: str, tenant: str = "ann", **more: object) -> Submission:
    body = TurnBody(messages=(ChatMessage("user", "hé"),), params=SamplingParams(max_tokens=5, stop=("x",)))
    return Submission(turn=name, task=f"task-{name}", tenant=tenant, body=body, **more)  # type: ignore[arg-type]


def delta(claimed: ClaimedTurn, text: str, *tokens: int, nth: int = 1) -> Delta:
    return Delta(turn=claimed.turn, attempt=claimed.attempt, seq=claimed.seq + nth, text=text, token_ids=tokens)


def success(claimed: ClaimedTurn, *, nth: int = 1, tokens: int = 0) -> Finish:
    return Finish(
        turn=claimed.turn,
        task=claimed.task,
        attempt=claimed.attempt,
        seq=claimed.seq + nth,
        state="succeeded",
        finish_reason="stop",
        usage=Usage(0, tokens),
        text="done",
    )


def status(worker: str) -> WorkerStatus:
    return WorkerStatus(worker=worker, phase="ready", engine="simulated", model="", slots=4)


def text_of(events: list[Event]) -> list[str]:
    return [event.data for event in events if event.kind == "text"]
