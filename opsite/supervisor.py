"""One parent for all processes of the service: starts them, restarts one that dies, and ends them all in order.

Children die with the parent even when it is killed (PR_SET_PDEATHSIG); each writes into the parent's output behind its name.
"""

from __future__ import annotations

import ctypes
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO

STOP_S = 10.0
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 15.0
STEADY_S = 30.0
"""A child that lived so long is forgiven its earlier deaths."""
_PR_SET_PDEATHSIG = 1


@dataclass
class Child:
    """One process of the service."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    errors_only: bool = False
    process: subprocess.Popen[str] | None = None
    started_at: float = 0.0
    deaths: int = 0
    restart_at: float = 0.0
    readers: list[threading.Thread] = field(default_factory=list)


def pause_s(deaths: int) -> float:
    """How long to wait before the next start: doubling with each death in a row."""
    return float(min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** max(0, deaths - 1)))


class Supervisor:
    """Runs children until `stop`. Without `names` their lines pass as they are."""

    def __init__(self, *, env: Mapping[str, str], say: Callable[[str], None], names: bool = True) -> None:
        self._env, self._say, self._shows_names = dict(env), say, names
        self._children: list[Child] = []
        self._stop = threading.Event()

    def add(
        self, name: str, command: Sequence[str], *, env: Mapping[str, str] | None = None, errors_only: bool = False
    ) -> None:
        """A process to keep alive, with its own additions to the environment; of its lines perhaps those of standard error only."""
        self._children.append(Child(name, command, env or {}, errors_only))

    @property
    def names(self) -> list[str]:
        """Of all children, in the order in which they start."""
        return [child.name for child in self._children]

    def stop(self) -> None:
        """End all (safe in a signal handler)."""
        self._stop.set()

    def pids(self) -> dict[str, int]:
        """Who runs now."""
        return {child.name: child.process.pid for child in self._children if child.process is not None}

    def run(self) -> None:
        """Start all, keep them alive until `stop`, then end them in the reverse order."""
        try:
            while not self._stop.is_set():
                for child in self._children:
                    self._tend(child)
                self._stop.wait(0.1)
        finally:
            self._end()

    def _tend(self, child: Child) -> None:
        now = time.monotonic()
        if child.process is None:
            if now >= child.restart_at:
                self._start(child)
            return
        code = child.process.poll()
        if code is None:
            return
        if now - child.started_at >= STEADY_S:
            child.deaths = 0
        child.deaths += 1
        child.process = None
        child.restart_at = now + pause_s(child.deaths)
        self._say(f"{child.name} ended {_how(code)}; starting it again in {pause_s(child.deaths):g} s")

    def _start(self, child: Child) -> None:
        child.process = subprocess.Popen(
            child.command,
            env={**self._env, **child.env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if child.errors_only else subprocess.PIPE,
            stderr=subprocess.PIPE if child.errors_only else subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C in the terminal is for the parent, which ends the children in order
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - one prctl call, nothing that could deadlock
        )
        child.started_at = time.monotonic()
        if (output := child.process.stdout or child.process.stderr) is not None:
            reader = threading.Thread(target=self._copy, args=(child.name, output), daemon=True)
            reader.start()
            child.readers.append(reader)

    def _copy(self, name: str, output: IO[str]) -> None:
        for line in output:
            self._say(f"{name:<12} | {line.rstrip()}" if self._shows_names else line.rstrip())

    def _end(self) -> None:
        self._say("ending " + ", ".join(child.name for child in reversed(self._children) if child.process is not None))
        for child in reversed(self._children):
            if child.process is not None and child.process.poll() is None:
                child.process.terminate()
        deadline = time.monotonic() + STOP_S
        for child in reversed(self._children):
            if child.process is None:
                continue
            try:
                child.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                self._say(f"{child.name} did not end in {STOP_S:g} s and is killed")
                child.process.kill()
                child.process.wait()


def _how(code: int) -> str:
    return f"by {signal.Signals(-code).name}" if code < 0 else f"with exit status {code}"


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
