"""One read of a topic for all who look at it: it lives while somebody follows, and leaves each snapshot with every follower.

A snapshot replaces the one that a follower has not taken yet. So nobody waits for a slow one, and a slow one sees fewer, never old
ones. All of it belongs to one event loop; reads run in threads of their own, apart from those of Django's views.
"""

from __future__ import annotations

import asyncio
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from channels.db import DatabaseSyncToAsync

from console.frame import NotFound
from console.topics import Topic
from staff.access import Access, Role

logger = logging.getLogger(__name__)

THREADS = 4
"""Reads at a time in this process, each with a connection to Postgres."""
RETRY_S = 5.0
"""After a read that failed the next one comes so much later, at least."""
UNREADABLE = "This cannot be read at the moment; the server's log says why. It is tried again."

_threads = ThreadPoolExecutor(THREADS, thread_name_prefix="console")


@dataclass(frozen=True, slots=True)
class Word:
    """What a follower is told, as it is sent: a snapshot, or why there is none. After a `last` one the topic is over."""

    text: str
    last: bool = False


class Follower:
    """The newest word of a topic that one page has not taken yet."""

    def __init__(self) -> None:
        self._word: Word | None = None
        self._came = asyncio.Event()

    async def next(self) -> Word:
        """Wait for a word that was not taken yet."""
        await self._came.wait()
        self._came.clear()
        word, self._word = self._word, None
        assert word is not None
        return word

    def tell(self, word: Word) -> None:
        """In place of one that was not taken."""
        self._word = word
        self._came.set()


@dataclass(frozen=True, slots=True)
class Key:
    """Whom one snapshot serves: all who follow the same object of a topic and see the same tenants."""

    topic: str
    of: str
    access: Access

    @classmethod
    def of_viewer(cls, topic: str, of: str, access: Access) -> Key:
        """The roles that see all tenants are one, the least of them: what they may change is not for a snapshot to say."""
        return cls(topic, of, Access(Role.VIEWER) if access.sees_all_tenants else access)


class Readings:
    """What is followed in one event loop."""

    def __init__(self) -> None:
        self._followers: dict[Key, set[Follower]] = {}
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._last: dict[Key, Word] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    def followers(self) -> int:
        """Of all that is followed."""
        return sum(len(followers) for followers in self._followers.values())

    def follow(self, key: Key, topic: Topic) -> Follower:
        """From now on; the last snapshot is there at once, if others follow already."""
        follower = Follower()
        self._followers.setdefault(key, set()).add(follower)
        if key not in self._tasks:
            self._tasks[key] = asyncio.create_task(self._read(key, topic), name=f"read {key.topic} of {key.of!r}")
        elif (word := self._last.get(key)) is not None:
            follower.tell(word)
        return follower

    def leave(self, key: Key, follower: Follower) -> None:
        """With the last one the reading ends."""
        followers = self._followers.get(key, set())
        followers.discard(follower)
        if not followers and key in self._tasks:
            self._end(key).cancel()

    async def _read(self, key: Key, topic: Topic) -> None:
        read = DatabaseSyncToAsync(_snapshot, thread_sensitive=False, executor=_threads)
        while True:
            pause_s = topic.every_s
            try:
                word = Word(await read(topic, key))
            except NotFound as missing:
                self._tell(key, Word(refusal(key.topic, key.of, str(missing) or "There is no such object."), last=True))
                self._end(key)
                return
            except Exception:
                logger.exception("the topic %s of %r cannot be read", key.topic, key.of)
                word, pause_s = Word(refusal(key.topic, key.of, UNREADABLE)), max(RETRY_S, topic.every_s)
            self._tell(key, word)
            await asyncio.sleep(pause_s)

    def _tell(self, key: Key, word: Word) -> None:
        self._last[key] = word
        for follower in self._followers.get(key, ()):
            follower.tell(word)

    def _end(self, key: Key) -> asyncio.Task[None]:
        self._followers.pop(key, None)
        self._last.pop(key, None)
        return self._tasks.pop(key)


def refusal(topic: str, of: str, why: str) -> str:
    """The message that there is no snapshot."""
    return json.dumps({"topic": topic, "of": of, "error": why})


def _snapshot(topic: Topic, key: Key) -> str:
    """Read, and made to text once for all; what JavaScript could not read (NaN) is an error here."""
    return json.dumps({"topic": key.topic, "of": key.of, "data": topic.read(key.access, key.of)}, allow_nan=False)


_of_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, Readings] = WeakKeyDictionary()


def here() -> Readings:
    """Those of the running event loop: a web process has one."""
    return _of_loops.setdefault(asyncio.get_running_loop(), Readings())
