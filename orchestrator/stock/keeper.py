"""Keeps in stock what the pools of this host need: looks whether it is here, fetches it if not, and tries again what failed.

`want` is called at each tick and returns at once; everything else happens on threads. What nobody wants any more is no longer
fetched; nothing is ever removed.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from orchestrator.runtimes import RuntimeUnavailable, StartFailed
from orchestrator.stock.items import Item, Status
from orchestrator.stock.weights import Weights

log = logging.getLogger(__name__)

LOOKS_AT_ONCE = 4
FETCHES_AT_ONCE = 2
AGAIN_S = 10.0
"""It is looked for again after so long: somebody may have removed it, or have brought what could not be fetched."""
FIRST_RETRY_S = 5.0
LONGEST_RETRY_S = 300.0
"""Between two fetches that fail."""


class Images(Protocol):
    """The engine that holds images. Raises `RuntimeUnavailable`; `pull` may raise `StartFailed` too."""

    def has_image(self, image: str) -> bool:
        """Whether it is here."""
        ...

    def pull(self, image: str, tell: Callable[[int, int], None], stop: threading.Event) -> None:
        """Bring it here; `tell` is given the bytes that are here, and all of them as far as is known."""
        ...


@dataclass(slots=True)
class _Entry:
    status: Status = field(default_factory=Status)
    stop: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None
    ways: tuple[Mapping[str, str], ...] = ()
    due_at: float = 0.0
    fetch_at: float = 0.0
    failures: int = 0

    @property
    def idle(self) -> bool:
        return self.thread is None or not self.thread.is_alive()


class Stock:
    """The stock of one host, known by `host`."""

    def __init__(self, *, host: str, images: Images, weights: Weights) -> None:
        self.host = host
        self._images = images
        self._weights = weights
        self._entries: dict[Item, _Entry] = {}
        self._looks = threading.Semaphore(LOOKS_AT_ONCE)
        self._fetches = threading.Semaphore(FETCHES_AT_ONCE)

    def want(self, items: Iterable[Item]) -> None:
        """What the pools need now."""
        wanted = set(items)
        for item in self._entries.keys() - wanted:
            self._entries.pop(item).stop.set()
        now = time.monotonic()
        for item in wanted:
            entry = self._entries.setdefault(item, _Entry(ways=item.ways))
            if entry.ways != item.ways:  # another token, maybe: no reason to wait
                entry.ways, entry.due_at, entry.fetch_at, entry.failures = item.ways, 0.0, 0.0, 0
            if entry.idle and now >= entry.due_at:
                entry.thread = threading.Thread(
                    target=self._bring, args=(item, entry), name=f"stock {item.kind}", daemon=True
                )
                entry.thread.start()

    def status(self, item: Item) -> Status:
        """How far it is, without waiting."""
        entry = self._entries.get(item)
        return Status() if entry is None else entry.status

    def statuses(self) -> Mapping[Item, Status]:
        """Of all that is wanted."""
        return {item: entry.status for item, entry in self._entries.items()}

    def close(self) -> None:
        """Fetch no more."""
        self.want(())

    # -- on a thread of the item's own ---------------------------------------------------------
    def _bring(self, item: Item, entry: _Entry) -> None:
        before = entry.status
        try:
            status = self._brought(item, entry)
        except RuntimeUnavailable as error:
            # The engine does not answer: that says nothing about what was here. What was not cannot be brought.
            status = before if before.state == "present" else Status("failed", error=str(error))
        except StartFailed as error:
            status = self._failed(entry, str(error))
        except Exception as error:
            log.exception("%s: it cannot be brought here", item)
            status = self._failed(entry, f"The {item}: {type(error).__name__}: {error}")
        if entry.stop.is_set():
            return
        if status.state != before.state:
            log.info("%s: %s", item, status.error or status.state)
        entry.due_at = min(time.monotonic() + AGAIN_S, entry.fetch_at or math.inf)
        entry.status = status

    def _brought(self, item: Item, entry: _Entry) -> Status:
        """Look, and fetch what is not here; what failed a short time ago is only looked for."""
        with self._looks:
            here = self._images.has_image(item.name) if item.kind == "image" else self._weights.is_here(entry.status)
        if here:
            entry.failures, entry.fetch_at = 0, 0.0
            return entry.status if item.kind == "weights" else Status("present")
        if time.monotonic() < entry.fetch_at:
            return entry.status
        with self._fetches:
            status = Status() if entry.stop.is_set() else self._fetch(item, entry)
        if status.state == "failed":
            return self._failed(entry, status.error)
        entry.failures, entry.fetch_at = 0, 0.0
        return status

    def _fetch(self, item: Item, entry: _Entry) -> Status:
        def tell(status: Status) -> None:
            entry.status = status

        if item.kind == "weights":
            return self._weights.fetch(item, tell, entry.stop)
        if entry.status.state != "failed":  # a retry is news only when something comes
            tell(Status("fetching"))
        self._images.pull(item.name, lambda done, total: tell(Status("fetching", done, total)), entry.stop)
        return Status("present")

    def _failed(self, entry: _Entry, error: str) -> Status:
        retry_s = min(LONGEST_RETRY_S, FIRST_RETRY_S * 2 ** min(10, entry.failures))
        entry.failures, entry.fetch_at = entry.failures + 1, time.monotonic() + retry_s
        return Status("failed", error=error)
