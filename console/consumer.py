"""The console's one websocket: staff follow topics on it, each pushed as a snapshot at its pace while somebody looks.

A page sends `{"follow": "pool", "of": "demo", "paced": true}` and `{"leave": "pool", "of": "demo"}`; it gets `{"topic": "pool",
"of": "demo", "data": {…}}`, or `{"topic": …, "of": …, "error": "…"}`. `paced`: the next snapshot comes when the page has said
`{"taken": "pool", "of": "demo"}` for the last, and is the newest then.

After an error no more comes of an object that there is not, and of a topic that was refused; what could not be read is tried again.
The socket of who may not be here any more is closed within seconds (`CHECK_EVERY_S`), with the code `NOT_ALLOWED`.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer

from console.admission import access_now
from console.readings import Follower, Key, here, refusal
from console.topics import TOPICS
from staff.access import Access

logger = logging.getLogger(__name__)

NOT_ALLOWED = 4403
FOLLOWED_AT_MOST = 16
"""Topics that one page may follow at a time."""
CHECK_EVERY_S = 4.0
"""So often session and role of who looks are asked for anew."""
LONGEST_MESSAGE = 4096
BAD_MESSAGE = (
    'Send JSON such as {"follow": "overview"}, {"leave": "pool", "of": "demo"} or {"taken": "pool", "of": "demo"}.'
)

Followed = tuple[str, str]


@dataclass(slots=True)
class Pushing:
    """What of a topic goes to this page. `taken`: the page waits for the next."""

    key: Key
    follower: Follower
    paced: bool
    taken: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


class ConsoleConsumer(AsyncWebsocketConsumer):
    """Pushes what is followed."""

    _access: Access

    async def connect(self) -> None:
        """Accept staff with a role, refuse others."""
        self._pushing: dict[Followed, Pushing] = {}
        self._watching: asyncio.Task[None] | None = None
        access = await access_now(self.scope)
        if access is None:
            await self.close(NOT_ALLOWED)
            return
        self._access = access
        await self.accept()
        self._watching = asyncio.create_task(self._watch(), name="watch a console's socket")

    async def disconnect(self, code: int) -> None:
        """Stop pushing."""
        if self._watching is not None:
            self._watching.cancel()
        self._leave_all()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Follow a topic, leave it, or go on; what is none of these is refused in words."""
        match _parsed(text_data):
            case {"follow": str(name), **more} if (of := _of(more)) is not None:
                await self._follow(name, of, paced=more.get("paced") is True)
            case {"leave": str(name), **more} if (of := _of(more)) is not None:
                self._leave((name, of))
            case {"taken": str(name), **more} if (of := _of(more)) is not None:
                if (pushing := self._pushing.get((name, of))) is not None:
                    pushing.taken.set()
            case _:
                await self.send(json.dumps({"error": BAD_MESSAGE}))

    async def _follow(self, name: str, of: str, *, paced: bool) -> None:
        topic = TOPICS.get(name)
        if topic is None or not (topic.for_tenant_administrators or self._access.sees_all_tenants):
            await self.send(refusal(name, of, "There is no such topic, or it is not yours to follow."))
        elif (name, of) in self._pushing:
            return
        elif len(self._pushing) >= FOLLOWED_AT_MOST:
            most = f"A page follows {FOLLOWED_AT_MOST} topics at most: leave one first."
            await self.send(refusal(name, of, most))
        else:
            key = Key.of_viewer(name, of, self._access)
            pushing = self._pushing[name, of] = Pushing(key, here().follow(key, topic), paced)
            pushing.task = asyncio.create_task(self._push((name, of), pushing), name=f"push {name} of {of!r}")

    def _leave(self, followed: Followed) -> None:
        pushing = self._pushing.pop(followed, None)
        if pushing is not None:
            here().leave(pushing.key, pushing.follower)
            if pushing.task is not None:
                pushing.task.cancel()

    def _leave_all(self) -> None:
        for followed in list(self._pushing):
            self._leave(followed)

    async def _push(self, followed: Followed, pushing: Pushing) -> None:
        while True:
            word = await pushing.follower.next()
            pushing.taken.clear()
            await self.send(word.text)
            if word.last:
                del self._pushing[followed]
                return
            if pushing.paced:
                await pushing.taken.wait()

    async def _watch(self) -> None:
        """A role that has changed is as good as one that has ended: the page was made for another."""
        while True:
            await asyncio.sleep(CHECK_EVERY_S)
            try:
                access = await access_now(self.scope)
            except Exception:
                logger.exception("whether a socket may stay cannot be asked; it stays until that is known")
                continue
            if access != self._access:
                self._leave_all()
                await self.close(NOT_ALLOWED)
                return


def _of(message: Mapping[Any, Any]) -> str | None:
    """The object that a message names, empty where it names none; None if that is no name: Postgres would take no NUL."""
    of = message.get("of", "")
    return of if isinstance(of, str) and of.isprintable() else None


def _parsed(text: str | None) -> Any:
    if text is None or len(text) > LONGEST_MESSAGE:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
