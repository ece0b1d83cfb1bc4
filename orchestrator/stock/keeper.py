"""Keeps in stock what the pools of this host need: looks whether it is here, fetches it if not, and tries again what failed.

`want` is called at each tick and returns at once; everything else happens on threads. What nobody wants any more is no longer
fetched; nothing is ever removed.
"""

from __future__ import annotations

import logging
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
AGAIN_S = 15.0
"""What is here is looked for again after so long: somebody may have removed it."""
FIRST_RETRY_S = 5.0
LONGEST_RETRY_S = 300.0


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
    due_at: float = 0.0
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
            entry = self._entries.setdefault(item, _Entry())
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
        try:
            with self._looks:
                here = self._is_here(item, entry.status)
            if here:
                status = entry.status if item.kind == "weights" else Status("present")
            else:
                with self._fetches:
                    status = self._fetch(item, entry)
        except RuntimeUnavailable as error:
            # The engine does not answer: that says nothing about what was here. What was not cannot be brought.
            status = entry.status if entry.status.state == "present" else Status("failed", error=str(error))
            self._ended(item, entry, status, retry_s=FIRST_RETRY_S)
            return
        except Exception as error:
            log.exception("%s: it cannot be brought here", item)
            status = Status("failed", error=f"The {item}: {type(error).__name__}: {error}")
        entry.failures = entry.failures + 1 if status.state == "failed" else 0
        retry_s = min(LONGEST_RETRY_S, FIRST_RETRY_S * 2 ** min(10, entry.failures - 1)) if entry.failures else AGAIN_S
        self._ended(item, entry, status, retry_s=retry_s)

    def _ended(self, item: Item, entry: _Entry, status: Status, *, retry_s: float) -> None:
        if status.state != entry.status.state:
            log.info("%s: %s", item, status.error or status.state)
        entry.due_at = time.monotonic() + retry_s
        entry.status = status

    def _is_here(self, item: Item, status: Status) -> bool:
        if item.kind == "image":
            return self._images.has_image(item.name)
        return self._weights.is_here(status)

    def _fetch(self, item: Item, entry: _Entry) -> Status:
        if entry.stop.is_set():  # nobody wants it any more
            return Status()

        def tell(status: Status) -> None:
            entry.status = status

        if item.kind == "weights":
            return self._weights.fetch(item, tell, entry.stop)
        tell(Status("fetching"))
        try:
            self._images.pull(item.name, lambda done, total: tell(Status("fetching", done, total)), entry.stop)
        except StartFailed as error:
            return Status("failed", error=str(error))
        return Status("present")
