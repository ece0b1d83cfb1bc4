"""Shows workers to those who look at them: log lines, CPU, memory and GPUs, read only while somebody does.

It has threads of its own: an engine or a driver that is slow holds up neither the loop nor a look at another worker. They are
daemons, since a driver may never answer. See `taskqueue.looks` for the way of question and answer.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from orchestrator.log_lines import shown
from orchestrator.masking import Mask
from orchestrator.runtimes import Peek, Runtime, RuntimeUnavailable
from taskqueue.failures import QueueUnavailable
from taskqueue.looks import Gauge, Glimpse, Looks

log = logging.getLogger(__name__)

EVERY_S = 1.0
AT_ONCE = 16
"""Looks under way at a time; others come in the next seconds."""
FRESH_S = 5.0
"""What a GPU said is shown for so long."""


@dataclass(frozen=True, slots=True)
class Known:
    """Where a living worker is to be looked at, and what of its log is not shown."""

    runtime: str
    ref: str
    gpus: tuple[str, ...] = ()
    mask: Mask = field(default_factory=Mask)


@dataclass(slots=True)
class _Gauges:
    """The last word of the GPUs, and when it came (monotonic s)."""

    told: Mapping[str, Gauge] = field(default_factory=dict)
    at: float = 0.0

    def of(self, devices: Iterable[str]) -> tuple[Gauge, ...]:
        if time.monotonic() - self.at > FRESH_S:
            return ()
        return tuple(self.told[device] for device in devices if device in self.told)


class Lookout:
    """One thread over all workers that it was told of, and one for each look that is under way."""

    def __init__(
        self,
        looks: Looks,
        *,
        runtimes: Mapping[str, Runtime],
        host: str,
        read_gauges: Callable[[Iterable[str]], Mapping[str, Gauge]],
    ) -> None:
        self._looks = looks
        self._runtimes = runtimes
        self._host = host
        self._read_gauges = read_gauges
        self._known: Mapping[str, Known] = {}
        self._gauges = _Gauges()
        self._spent: dict[str, tuple[float, float]] = {}
        self._under_way: dict[str, threading.Thread] = {}
        self._begun: dict[str, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lookout", daemon=True)

    def watch(self, known: Mapping[str, Known]) -> None:
        """From now on these workers, by id."""
        self._known = known

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; looks that are under way are not waited for."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(EVERY_S):
            try:
                self._look()
            except QueueUnavailable as error:
                log.debug("nobody is shown a worker now: %s", error)
            except Exception:
                log.exception("workers cannot be shown")

    def _look(self) -> None:
        known = self._known
        self._under_way = {name: thread for name, thread in self._under_way.items() if thread.is_alive()}
        for gone in self._spent.keys() - known.keys():
            self._spent.pop(gone, None)
        wanted = self._looks.looked_for(list(known))
        if devices := {device for worker in wanted for device in known[worker].gpus}:
            self._begin("GPUs", self._read, devices)
        self._begun = {worker: self._begun.get(worker, 0.0) for worker in wanted}
        for worker in sorted(wanted, key=lambda worker: self._begun[worker]):  # who waited longest comes first
            self._begin(worker, self._show, worker, known[worker])

    def _begin(self, name: str, act: Callable[..., None], *args: object) -> None:
        """On a thread, unless the last one of that name is not over yet."""
        if name in self._under_way or sum(thread.is_alive() for thread in self._under_way.values()) >= AT_ONCE:
            return
        if name in self._begun:
            self._begun[name] = time.monotonic()
        thread = threading.Thread(target=act, args=args, name=f"look at {name}", daemon=True)
        self._under_way[name] = thread
        thread.start()

    def _read(self, devices: Iterable[str]) -> None:
        try:
            told = self._read_gauges(sorted(devices))
        except Exception:
            log.exception("the GPUs' gauges cannot be read")
            return
        self._gauges = _Gauges(told, time.monotonic())

    def _show(self, worker: str, known: Known) -> None:
        try:
            self._looks.show({worker: self._glimpse(worker, known)})
        except QueueUnavailable as error:
            log.debug("worker %s is not shown now: %s", worker, error)
        except Exception:
            log.exception("worker %s cannot be shown", worker)

    def _glimpse(self, worker: str, known: Known) -> Glimpse:
        error = ""
        try:
            peek = self._runtimes[known.runtime].peek(known.ref)
        except RuntimeUnavailable as unavailable:
            peek, error = Peek(), str(unavailable)
        return Glimpse(
            host=self._host,
            pid=peek.pid,
            cpus=self._cpus(worker, peek.cpu_s),
            memory_bytes=peek.memory_bytes,
            gpus=self._gauges.of(known.gpus),
            lines=shown(known.mask.hide(peek.log), hide=known.mask.hide),
            error=error,
        )

    def _cpus(self, worker: str, cpu_s: float | None) -> float | None:
        """Cores in use since the last look; None at the first one."""
        if cpu_s is None:
            return None
        now, last = time.monotonic(), self._spent.get(worker)
        self._spent[worker] = (cpu_s, now)
        if last is None or now <= last[1] or now - last[1] > FRESH_S:
            return None
        return round(max(0.0, cpu_s - last[0]) / (now - last[1]), 2)
