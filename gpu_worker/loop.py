"""The worker's loop: claim what fits, run it in one engine, flush each step once for all turns, beat, and drain.

Three tasks share a ledger. `_claim` fills free slots, `_flush` carries the engine's output to Redis, `_beat` keeps the
leases. While one flush is under way the engine goes on; what it made meanwhile is the next flush. A flush that fails is
repeated with the same event numbers, which Redis refuses to store twice.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, suppress
from functools import partial
from typing import Any

import msgspec

from gpu_worker.engines import Engine
from gpu_worker.failures import RedisGone
from gpu_worker.first_token import make_first_token
from gpu_worker.ledger import Flush, Ledger, engine_id
from gpu_worker.meter import Meter
from gpu_worker.patience import Patience
from gpu_worker.phases import StartPhases
from gpu_worker.settings import Settings
from taskqueue.failures import QueueUnavailable
from taskqueue.messages import ClaimedTurn, Stop, WorkerPhase, WorkerStatus
from taskqueue.ports import AsyncQueuePort
from telemetry import logs

log = logging.getLogger(__name__)

BELL_S = 1.0
"""How long to wait for the bell before looking anyway: a bell that another worker took in vain costs no more."""

BEAT_S = 0.5
"""Between two signs of life; a turn that makes no token just now hears so late that it must stop."""

DRAIN_S = 1.5
"""How long a drain may take; the engine gets half of it to let go of its turns."""


def unix_ms() -> int:
    """This machine's clock."""
    return time.time_ns() // 1_000_000


class WorkerLoop:
    """One worker: one engine, one queue, as many turns at once as it has slots."""

    def __init__(
        self,
        *,
        settings: Settings,
        queue: AsyncQueuePort,
        engine: Engine,
        phases: StartPhases | None = None,
        patience_s: float = 30.0,
    ) -> None:
        self._settings = settings
        self._queue = queue
        self._engine = engine
        self._ledger = Ledger()
        self._meter = Meter()
        self._phases = phases or StartPhases()
        self._patience = Patience(limit_s=patience_s)
        self._stop = asyncio.Event()
        self._stopping = False
        self._listening = False
        self._slot_freed = asyncio.Event()
        self._beat_now = asyncio.Event()
        self._collecting = False
        self._sending = Flush()
        self._status = WorkerStatus(
            worker=settings.worker_id,
            phase="starting",
            engine=settings.engine,
            model=settings.model,
            slots=settings.slots,
            started_ms=unix_ms(),
        )

    def stop(self) -> None:
        """Drain: claim no more, give everything back, end."""
        self._stopping = True
        self._slot_freed.set()
        self._stop.set()

    async def run(self) -> None:
        """Work until `stop`. Raises the `WorkerFailure` that ended the worker otherwise."""
        beat = asyncio.create_task(self._beat(), name="beat")
        stop = asyncio.create_task(self._stop.wait(), name="stop")
        start = asyncio.create_task(self._begin(), name="start")
        work: list[asyncio.Task[None]] = []
        failed = False
        try:
            await _first_of(beat, stop, start)
            if not stop.done():
                self._enter("ready", ready_ms=unix_ms())
                work += [asyncio.create_task(self._claim(), name="claim")]
                work += [asyncio.create_task(self._flush(), name="flush")]
                await _first_of(beat, stop, *work)
        except RedisGone:
            raise
        except Exception:
            failed = not self._stopping
            raise
        finally:
            await self._drain(beat, *work, failed=failed)
            await _cancel(beat, stop, start, *work)
            await self._engine.close()

    async def _begin(self) -> None:
        await self._engine.start(self._phases)
        self._phases.enter("first_token")
        await make_first_token(self._engine, embeds=self._settings.engine == "embedding")
        gc.collect()
        gc.freeze()  # else each full collection walks the model and its libraries, and no stream moves meanwhile
        self._phases.end()

    # -- the three tasks -----------------------------------------------------------------------
    async def _claim(self) -> None:
        while not self._stopping:
            free = self._settings.slots - len(self._ledger) - len(self._sending.finishes)
            if free <= 0:
                self._slot_freed.clear()
                await self._slot_freed.wait()
                continue
            claim = partial(self._queue.claim, self._settings.worker_id, free, lease_s=self._settings.lease_s)
            turns = await self._patience.call(claim)
            await self._admit(turns)
            if len(turns) < free and not self._stopping:
                self._listening = True
                await self._patience.call(partial(self._queue.wait_for_work, timeout_s=BELL_S))
                self._listening = False

    async def _flush(self) -> None:
        while not self._stopping or self._ledger:
            self._collecting = True
            outputs = await self._engine.collect()
            self._collecting = False
            self._meter.collected(outputs, now=time.monotonic())
            held = len(self._ledger)
            flush = self._ledger.book(outputs, now_ms=unix_ms())
            for turn, finish in flush.ended:
                with _about(turn):
                    log.debug("turn %s: attempt %d %s", turn.turn, turn.attempt, finish.state)
            self._meter.ended(flush.finishes, idle=not self._ledger)
            freed = len(self._ledger) < held
            await self._send(flush)
            if freed:
                self._slot_freed.set()

    async def _beat(self) -> None:
        pause_s = min(self._settings.lease_s / 4, BEAT_S)
        while True:
            self._beat_now.clear()
            took, phase = self._phases.read()
            status = msgspec.structs.replace(
                self._status,
                running=len(self._ledger),
                tokens_total=self._ledger.tokens_total,
                beat_ms=unix_ms(),
                work=self._meter.read(),
                start_phases=took,
                start_phase=phase,
            )
            turns = self._ledger.turns() | {engine_id(finish): finish.turn for finish in self._sending.finishes}
            beat = partial(self._queue.heartbeat, status, list(turns.values()), lease_s=self._settings.lease_s)
            self._honour(await self._patience.call(beat), turns)
            if status.phase == "draining":
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._beat_now.wait()

    # -- their steps ---------------------------------------------------------------------------
    async def _admit(self, turns: Sequence[ClaimedTurn]) -> None:
        # A Redis that has lost its data counts attempts anew: this very attempt may still run here, and nobody could tell the two
        # apart. Given back, the turn comes again as another attempt, and the old one is told that it is lost.
        again = [turn for turn in turns if engine_id(turn) in self._ledger]
        if again:
            release = partial(self._queue.release, self._settings.worker_id, [turn.turn for turn in again])
            await self._patience.call(release)
        requests = []
        for turn in turns:
            if turn in again:
                continue
            with _about(turn):
                log.debug("turn %s: attempt %d claimed", turn.turn, turn.attempt)
            written = ""
            if turn.streamed:  # the log is the truth about that
                written = await self._patience.call(partial(self._queue.read_raw, turn.task, first=turn.first))
            requests.append(self._ledger.admit(turn, streamed_text=written, tool_format=self._engine.tool_format))
            self._meter.admitted(engine_id(turn), streamed=len(turn.streamed), now=time.monotonic())
        self._engine.submit(requests)

    async def _send(self, flush: Flush) -> None:
        worker = self._settings.worker_id
        self._sending = flush
        if flush.deltas:
            stops = await self._patience.call(partial(self._queue.emit, worker, flush.deltas))
            self._honour(stops, map(engine_id, flush.deltas))
        if flush.finishes:
            stops = await self._patience.call(partial(self._queue.finish, worker, flush.finishes))
            self._honour(stops, map(engine_id, flush.finishes))
        self._sending = Flush()

    def _honour(self, stops: Sequence[Stop], concerning: Iterable[str]) -> None:
        if stops and (ids := self._ledger.stop(stops, concerning=set(concerning))):
            self._engine.abort(ids)

    def _enter(self, phase: WorkerPhase, *, ready_ms: int | None = None) -> None:
        self._status = msgspec.structs.replace(self._status, phase=phase, ready_ms=ready_ms or self._status.ready_ms)
        self._beat_now.set()
        if self._status.ready_ms:  # a start that failed is told in one line, by whoever caught it
            log.info("%s: %s", self._settings.worker_id, phase)

    # -- the end -------------------------------------------------------------------------------
    async def _drain(self, beat: asyncio.Task[None], *work: asyncio.Task[None], failed: bool) -> None:
        """Give everything back in `DRAIN_S`; what Redis did not hear by then it learns when the leases lapse.

        A worker that failed gives nothing back by itself: whether one of its turns made it fail is for the queue to judge.
        """
        self.stop()
        self._ledger.draining = True
        self._enter("draining")
        worker = self._settings.worker_id
        try:
            async with asyncio.timeout(DRAIN_S):
                with suppress(TimeoutError):
                    async with asyncio.timeout(DRAIN_S / 2):
                        await self._empty(*work)
                await _cancel(*work)
                await asyncio.wait((beat,))
                turns = self._ledger.leave()
                if failed:
                    await self._queue.abandon(worker)
                    return
                await self._queue.release(worker, turns)
                await self._queue.leave(worker)
                if self._status.ready_ms:
                    log.info("%s: left, %d turns given back", worker, len(turns))
        except (TimeoutError, QueueUnavailable) as error:
            log.warning("%s: left without a word to Redis (%r); its leases will lapse", worker, error)

    async def _empty(self, *work: asyncio.Task[None]) -> None:
        """Have the engine let go of all turns, and flush what it made until then."""
        if not work:
            return
        claim, flush = work
        if self._listening:
            claim.cancel()
        await asyncio.wait((claim,))
        self._engine.abort(self._ledger.request_ids())
        if self._collecting and not self._ledger:
            flush.cancel()
        await asyncio.wait((flush,))


def _about(turn: ClaimedTurn) -> AbstractContextManager[None]:
    """Lines of the log that tell of this turn."""
    return logs.about(task=turn.task, tenant=turn.tenant, trace=turn.body.trace)


async def _first_of(*tasks: asyncio.Task[Any]) -> None:
    """Wait until one of the tasks is done, and raise what it raised."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


async def _cancel(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
