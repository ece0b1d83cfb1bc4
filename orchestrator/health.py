"""What is to be made of a worker, given what the runtime and the queue say of it. Pure.

Blindness condemns nobody: while the queue cannot be read, silence is not the worker's.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from orchestrator.backoff import HOPELESS
from orchestrator.plan import LiveState
from orchestrator.policies.demand import seconds

ERROR_MARK = "opsite-worker: error:"
SILENT_LEASES = 3.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long things may take, in seconds."""

    start_s: float = 600.0
    lease_s: float = 5.0


def fault(*, state: LiveState, begun_at: float | None, last_seen_at: float, now: float, bounds: Bounds) -> str:
    """Why a worker whose process lives must be killed; empty when it need not. `begun_at`: when its process started."""
    if state == "starting" and begun_at is not None and now - begun_at > bounds.start_s:
        return f"It was not ready {seconds(bounds.start_s)} after its start."
    silent_s = SILENT_LEASES * bounds.lease_s
    if state == "ready" and now - last_seen_at > silent_s:
        return f"Its process lives, but it gave no sign of life for {seconds(silent_s)}."
    return ""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a worker's end is recorded."""

    state: Literal["stopped", "failed"]
    error: str = ""


def ended(*, state: LiveState, exit_code: int | None, log_tail: str) -> Ended:
    """The meaning of a worker's end. The exit code is None when another orchestrator's child was adopted."""
    said = clear_line(log_tail)
    if state == "draining":
        return Ended("stopped", said if exit_code else "")
    if exit_code == 0:
        if state == "ready":
            return Ended("stopped")
        return Ended("failed", said or "It ended by itself before it was ready, without an error.")
    if exit_code is None:
        return Ended("failed", said or "It ended by itself; its exit code is not known.")
    if exit_code == HOPELESS:
        return Ended("failed", said or "It cannot start with these settings (exit code 78).")
    return Ended("failed", said or _how(exit_code))


def clear_line(log_tail: str) -> str:
    """The worker's own last word on why it ended, if it had one."""
    for line in reversed(log_tail.splitlines()):
        if ERROR_MARK in line:
            return _message(line).split(ERROR_MARK, 1)[1].strip()
    return ""


def _message(line: str) -> str:
    """What a line says: itself, or the message of one in JSON."""
    with suppress(ValueError, AttributeError):
        message = json.loads(line).get("message")
        if isinstance(message, str) and ERROR_MARK in message:
            return message
    return line


def _how(exit_code: int) -> str:
    number = -exit_code if exit_code < 0 else exit_code - 128 if exit_code > 128 else 0
    if number == 9:
        return "It was killed by signal 9: by hand, or because memory ran out."
    if number > 0:
        return f"It was killed by signal {number}."
    return f"It ended with exit code {exit_code} and no clear word; see its log."
