"""The console's one websocket: staff follow topics on it, each pushed as a snapshot at its pace while somebody looks.

A page sends `{"follow": "pool", "of": "demo"}` and `{"leave": "pool", "of": "demo"}`; it gets `{"topic": "pool", "of": "demo",
"data": {…}}`, or `{"topic": …, "of": …, "error": "…"}` and no more of that topic.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer

from console.topics import TOPICS, NotFound, Topic
from staff.access import Access, access_now

logger = logging.getLogger(__name__)

NOT_ALLOWED = 4403
NOT_YOURS = "There is no such topic, or it is not yours to follow."
RENEWED_EVERY_S = 10.0
"""How long somebody whose role was taken away may still follow what it let them see."""
FOLLOWED_AT_MOST = 16
"""Topics that one page may follow at a time."""

Followed = tuple[str, str]


class ConsoleConsumer(AsyncJsonWebsocketConsumer):
    """Pushes what is followed."""

    _access: Access
    _renew_at = 0.0

    async def connect(self) -> None:
        """Accept staff with a role, refuse others."""
        self._pushing: dict[Followed, asyncio.Task[None]] = {}
        if not await self._renew_access():
            await self.close(NOT_ALLOWED)
            return
        await self.accept()

    async def _renew_access(self) -> bool:
        """Read who this is anew, if that was long ago. Returns whether they may follow anything."""
        now = asyncio.get_running_loop().time()
        if now >= self._renew_at:
            self._renew_at = now + RENEWED_EVERY_S
            user = self.scope.get("user")
            access = await database_sync_to_async(access_now)(user) if user is not None and user.pk else None
            if access is None:
                self._renew_at = 0.0
                return False
            self._access = access
        return True

    async def disconnect(self, code: int) -> None:
        """Stop pushing."""
        for pushing in self._pushing.values():
            pushing.cancel()
        await asyncio.gather(*self._pushing.values(), return_exceptions=True)

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        """Follow a topic, or leave it."""
        asked = content if isinstance(content, dict) else {}
        of = str(asked.get("of", ""))
        if "leave" in asked:
            pushing = self._pushing.pop((str(asked["leave"]), of), None)
            if pushing is not None:
                pushing.cancel()
            return
        name = str(asked.get("follow", ""))
        topic = TOPICS.get(name)
        if topic is None or not self._may_follow(topic):
            await self._refuse(name, of, NOT_YOURS)
        elif not await self._renew_access():
            await self.close(NOT_ALLOWED)
        elif (name, of) not in self._pushing:
            if len(self._pushing) >= FOLLOWED_AT_MOST:
                await self._refuse(name, of, f"A page follows {FOLLOWED_AT_MOST} topics at most: leave one first.")
                return
            self._pushing[name, of] = asyncio.create_task(self._push(name, of, topic))

    def _may_follow(self, topic: Topic) -> bool:
        return topic.for_tenant_administrators or self._access.sees_all_tenants

    async def _push(self, name: str, of: str, topic: Topic) -> None:
        read = database_sync_to_async(topic.read)
        try:
            while await self._renew_access():
                if not self._may_follow(topic):
                    raise NotFound(NOT_YOURS)
                await self.send_json({"topic": name, "of": of, "data": await read(self._access, of)})
                await asyncio.sleep(topic.every_s)
            await self.close(NOT_ALLOWED)
        except NotFound as missing:
            await self._refuse(name, of, str(missing) or "There is no such object.")
        except Exception:
            logger.exception("the topic %s of %r cannot be read", name, of)
            await self._refuse(name, of, "This cannot be read at the moment; the server's log says why.")
        self._pushing.pop((name, of), None)

    async def _refuse(self, name: str, of: str, why: str) -> None:
        await self.send_json({"topic": name, "of": of, "error": why})
