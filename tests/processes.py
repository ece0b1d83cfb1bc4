"""Processes of the service for tests: each a real one, forked from a process that has imported the libraries already.

`Process` does what tests use of `subprocess.Popen`. The fork server (`tests.forkserver`) starts with the first process, and goes
with the run.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parent.parent
END_TOLD_S = 60.0
"""How long the fork server may take to tell how a process ended that has ended."""


class Process:
    """A process of ours. Its exit code is `returncode` after `poll` or `wait`, negative where a signal ended it."""

    def __init__(self, server: _ForkServer, args: Sequence[str], pid: int, descriptor: int) -> None:
        self.args = args
        self.pid = pid
        self.returncode: int | None = None
        self._server = server
        self._descriptor = descriptor

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, once there is one. Raises `subprocess.TimeoutExpired` after `timeout` seconds."""
        if self.returncode is None:
            ended, _, _ = select.select([self._descriptor], [], [], timeout)
            if not ended:
                raise subprocess.TimeoutExpired(list(self.args), timeout or 0)
            self.returncode = os.waitstatus_to_exitcode(self._server.status(self.pid))
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Nothing is sent to a process that has ended."""
        if self.returncode is None:
            try:
                signal.pidfd_send_signal(self._descriptor, number)
            except ProcessLookupError:
                pass

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def __del__(self) -> None:
        os.close(self._descriptor)


class _ForkServer:
    """The other end of `tests.forkserver`."""

    def __init__(self) -> None:
        self._link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        self._statuses: dict[int, int] = {}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.forkserver", str(theirs.fileno())],
                cwd=ROOT,
                env={
                    "PATH": os.environ["PATH"],
                    "PYTHONPATH": str(ROOT),
                    "PYTHONUNBUFFERED": "1",
                    **_python_settings(),
                },
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )

    def start(self, args: Sequence[str], env: Mapping[str, str], stdout: int, stderr: int) -> Process:
        request = json.dumps({"argv": list(args), "env": dict(env), "cwd": str(ROOT)}).encode()
        with self._lock:
            socket.send_fds(self._link, [request], [stdout, stderr])
            while True:
                told, descriptors = self._told()
                if "started" in told:
                    break
                self._statuses[told["ended"]] = told["status"]
            self._statuses.pop(told["started"], None)  # of an earlier process of that number, which nobody waited for
        return Process(self, args, told["started"], descriptors[0])

    def status(self, pid: int) -> int:
        """How a process ended that has ended, as `waitpid` says it."""
        deadline = time.monotonic() + END_TOLD_S
        with self._lock:
            while pid not in self._statuses:
                readable, _, _ = select.select([self._link], [], [], max(0.0, deadline - time.monotonic()))
                assert readable, f"the fork server does not say how process {pid} ended"
                told, _ = self._told()
                self._statuses[told["ended"]] = told["status"]
            return self._statuses.pop(pid)

    def stop(self) -> None:
        self._link.close()
        self._process.wait(END_TOLD_S)

    def _told(self) -> tuple[dict[str, int], list[int]]:
        message, descriptors, _, _ = socket.recv_fds(self._link, 4096, 1)
        assert message, "the fork server has ended: its output says why"
        return json.loads(message), descriptors


_server: _ForkServer | None = None


def start_process(
    *args: str, env: Mapping[str, str], stdout: IO[Any] | None = None, stderr: IO[Any] | None = None
) -> Process:
    """`python <args>` at the project's root, `args` being a script or `-m` and a module; output as ours, unless a file is given."""
    global _server
    if _server is None:
        _server = _ForkServer()
        atexit.register(_server.stop)
    return _server.start(args, env, stdout.fileno() if stdout else 1, stderr.fileno() if stderr else 2)


def _python_settings() -> dict[str, str]:
    """The interpreter's own settings, which a child could not change any more."""
    return {name: value for name, value in os.environ.items() if name.startswith("PYTHON") and name != "PYTHONPATH"}
