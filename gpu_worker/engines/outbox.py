"""Where an engine leaves its output until the loop collects it: what piles up during one flush goes into the next."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gpu_worker.engines import EngineOutput
from gpu_worker.failures import EngineDied


class Outbox:
    """For use in the event loop's thread; other threads come in by `call_soon_threadsafe`, once per step."""

    def __init__(self) -> None:
        self._outputs: list[EngineOutput] = []
        self._something = asyncio.Event()
        self._death: EngineDied | None = None

    def put(self, outputs: Sequence[EngineOutput]) -> None:
        """Add the outputs of a step."""
        if outputs:
            self._outputs.extend(outputs)
            self._something.set()

    def die(self, reason: str) -> None:
        """No more output will come; the collector learns it after what is still here."""
        self._death = EngineDied(reason)
        self._something.set()

    async def collect(self) -> list[EngineOutput]:
        """All outputs since the last call; waits while there are none."""
        await self._something.wait()
        outputs, self._outputs = self._outputs, []
        if self._death is None:
            self._something.clear()
        elif not outputs:
            raise self._death
        return outputs
