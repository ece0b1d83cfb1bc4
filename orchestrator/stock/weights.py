"""A model's weights from a hub, fetched by a child process (`orchestrator.stock.hub`) into the cache of this host."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from orchestrator.masking import mask_of
from orchestrator.stock.items import Item, Status

LOOK_S = 0.5


class _Line(msgspec.Struct, frozen=True):
    """What the child says."""

    done: int = 0
    total: int = 0
    folder: str = ""
    error: str = ""


class Weights:
    """The cache of one host. `env`: what the child inherits; `root`: where this code lies."""

    def __init__(self, cache: Path, *, env: Mapping[str, str], root: Path) -> None:
        self._cache = cache
        self._env = dict(env) | {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
        self._root = root

    def is_here(self, status: Status) -> bool:
        """Whether what was fetched once still is: a cheap look."""
        return bool(status.folder) and Path(status.folder).is_dir()

    def fetch(self, item: Item, tell: Callable[[Status], None], stop: threading.Event) -> Status:
        """Bring it here if it is not, and say how far that is. `stop` ends it; what was fetched until then stays.

        Where one way fails the next is tried; what the first said is told, since it is the best of them.
        """
        failures = []
        for way in item.ways:
            status = self._fetch(item, way, tell, stop)
            if status.state != "failed" or stop.is_set():
                return status
            failures.append(status)
        return failures[0]

    def _fetch(
        self, item: Item, way: Mapping[str, str], tell: Callable[[Status], None], stop: threading.Event
    ) -> Status:
        model, _, revision = item.name.partition("@")
        command = [sys.executable, "-m", "orchestrator.stock.hub", model, revision or "main", str(self._cache)]
        with tempfile.TemporaryFile() as errors:
            child = subprocess.Popen(
                command,
                cwd=self._root,
                env=self._env | dict(way),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
            threading.Thread(target=_end_when, args=(stop, child), name="hub's leash", daemon=True).start()
            last = _Line()
            assert child.stdout is not None
            assert child.stdin is not None
            with child.stdin, child.stdout:
                for raw in child.stdout:
                    last = msgspec.json.decode(raw, type=_Line)
                    if last.total:
                        tell(Status("fetching", last.done, last.total))
            code = child.wait()
            if last.folder:
                return Status("present", folder=last.folder)
            errors.seek(0)
            words = errors.read().decode(errors="replace").strip().rpartition("\n")[2]
        ended = f"The weights of {item.name} are not here, and what fetches them ended with code {code}: {words}"
        return Status("failed", error=mask_of(way).hide(last.error or ended))


def _end_when(stop: threading.Event, child: subprocess.Popen[bytes]) -> None:
    while child.poll() is None:
        if stop.wait(LOOK_S):
            child.kill()
            return
