"""All workers of the stack on this host: who is there, who is being started, what belongs to nobody.

Starting may take minutes (an image is pulled), so it happens on threads; the loop learns of it at its next tick. A
worker's row is written before the worker is started, so an instance without a live row belongs to nobody and is ended.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from orchestrator.runtimes import Instance, Runtime, RuntimeUnavailable, StartAbandoned, WorkerSpec

log = logging.getLogger(__name__)

STARTS_AT_ONCE = 8


@dataclass(slots=True)
class Sight:
    """One look at the runtimes: instances by worker id; runtimes that could not be asked, with the reason."""

    instances: dict[str, Instance] = field(default_factory=dict)
    runtime_of: dict[str, str] = field(default_factory=dict)
    unavailable: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Starting:
    spec: WorkerSpec
    runtime: str
    future: Future[str]
    progress: str = ""


class Fleet:
    """The runtimes behind one face. Used by the loop's thread only.

    `confirm` raises when this orchestrator does not lead (any more). It is called from the threads of the starts.
    """

    def __init__(self, runtimes: Mapping[str, Runtime], *, grace_s: float, confirm: Callable[[], None]) -> None:
        self.runtimes = runtimes
        self.grace_s = grace_s
        self._confirm = confirm
        self._closing = threading.Event()
        self._starting: dict[str, _Starting] = {}
        self._outcomes: dict[str, str | BaseException] = {}
        self._threads = ThreadPoolExecutor(STARTS_AT_ONCE, thread_name_prefix="start")
        self._orphans: dict[str, float] = {}
        self._broken: set[str] = set()
        self.unfinished: set[str] = set()
        """Runtimes that held something of nobody's at the last look."""

    # -- starting ------------------------------------------------------------------------------
    def start(self, spec: WorkerSpec, runtime: str) -> None:
        """Begin to start a worker; `outcomes` tells how it went."""
        starting = _Starting(spec, runtime, Future())

        def tell(words: str) -> None:
            self._go_on()
            starting.progress = words

        def begin() -> str:
            self._go_on()
            return self.runtimes[runtime].start(spec, tell)

        starting.future = self._threads.submit(begin)
        self._starting[spec.worker] = starting

    def _go_on(self) -> None:
        """What was given to a worker is another leader's to give as soon as this one does not lead: then it must not start."""
        if self._closing.is_set():
            raise StartAbandoned("The orchestrator ended before it had started it.")
        try:
            self._confirm()
        except Exception as error:
            raise StartAbandoned("The orchestrator lost the lead before it had started it.") from error

    def progress(self, worker: str) -> str | None:
        """What a start that is under way says; None when there is none."""
        starting = self._starting.get(worker)
        return None if starting is None else starting.progress

    def outcomes(self, live: Container[str]) -> dict[str, str | BaseException]:
        """Starts that came to an end: the ref, or the error. Call it before `look`.

        An outcome is told again until its row is not among the `live` ones any more: the tick that is to record it may fail.
        """
        done = {worker: starting for worker, starting in self._starting.items() if starting.future.done()}
        for worker, starting in done.items():
            del self._starting[worker]
            self._outcomes[worker] = starting.future.exception() or starting.future.result()
        self._outcomes = {worker: outcome for worker, outcome in self._outcomes.items() if worker in live}
        return dict(self._outcomes)

    # -- looking -------------------------------------------------------------------------------
    def look(self, names: Iterable[str]) -> Sight:
        """Ask the named runtimes. What one fails with, whatever it is, is no other's matter."""
        sight = Sight()
        for name in names:
            try:
                found: Sequence[Instance] = self.runtimes[name].list()
            except RuntimeUnavailable as error:
                sight.unavailable[name] = str(error)
                self._broken.discard(name)
                continue
            except Exception as error:
                if name not in self._broken:
                    log.exception("the runtime %s cannot be asked for its workers", name)
                self._broken.add(name)
                sight.unavailable[name] = f"The runtime {name} fails ({error!r}); the orchestrator's log says where."
                continue
            self._broken.discard(name)
            for instance in found:
                sight.instances[instance.worker] = instance
                sight.runtime_of[instance.worker] = name
        return sight

    def end_orphans(self, sight: Sight, *, known: set[str], now: float) -> None:
        """Ask what belongs to nobody to end, kill it after its grace, and remove what is left of it."""
        orphans = {
            worker: instance
            for worker, instance in sight.instances.items()
            if worker not in known and worker not in self._starting
        }
        self.unfinished = {sight.runtime_of[worker] for worker in orphans}
        self._orphans = {worker: at for worker, at in self._orphans.items() if worker in orphans}
        for worker, instance in orphans.items():
            runtime = self.runtimes[sight.runtime_of[worker]]
            try:
                if not instance.alive:
                    runtime.remove(instance.ref)
                elif worker not in self._orphans:
                    log.warning("worker %s of pool %r belongs to nobody: it is asked to end", worker, instance.pool)
                    runtime.stop(instance.ref, self.grace_s)
                    self._orphans[worker] = now
                elif now - self._orphans[worker] > self.grace_s:
                    runtime.kill(instance.ref)
            except RuntimeUnavailable as error:
                log.warning("worker %s cannot be ended now: %s", worker, error)

    def close(self) -> None:
        """Begin no start more, and wait for those that are under way. What they started is found again by the next leader.

        To be called while the lead is still held: the next leader takes a row without a worker for a start that came to nothing,
        and gives its devices away. A pull is given up at its next word.
        """
        self._closing.set()
        self._threads.shutdown(wait=True, cancel_futures=True)
