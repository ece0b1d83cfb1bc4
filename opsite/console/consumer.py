"""The overview's websocket: staff only, one snapshot a second while somebody looks."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer

from opsite.console.overview import snapshot

EVERY_S = 1.0
NOT_ALLOWED = 4403


class OverviewConsumer(AsyncJsonWebsocketConsumer):
    """Pushes snapshots; listens to nothing."""

    _pushing: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        """Accept staff, refuse others."""
        user = self.scope.get("user")
        if user is None or not (user.is_active and user.is_staff):
            await self.close(NOT_ALLOWED)
            return
        await self.accept()
        self._pushing = asyncio.create_task(self._push())

    async def disconnect(self, code: int) -> None:
        """Stop pushing."""
        if self._pushing is not None:
            self._pushing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._pushing

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        """Nothing is expected from the page."""

    async def _push(self) -> None:
        read = database_sync_to_async(snapshot)
        while True:
            await self.send_json(await read())
            await asyncio.sleep(EVERY_S)
