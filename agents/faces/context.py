"""What the hot routes share in one process: connections, followers, the directory, the group commit.

Made on the first request and within its event loop, since not every ASGI server tells an application that it starts.
"""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import dataclass

from agents.faces.acceptance import Acceptance
from agents.faces.admission import Admission
from agents.faces.database import Database
from agents.faces.principals import Directory
from taskqueue.inbox import EventHub


@dataclass(frozen=True, slots=True)
class Context:
    """The parts of one web process."""

    db: Database
    hub: EventHub
    directory: Directory
    acceptance: Acceptance
    body_limit: int

    @classmethod
    async def start(cls, *, database_url: str, redis_url: str, body_limit: int, connections: int = 8) -> Context:
        """Open the connections; of those to Postgres at most so many."""
        db = Database(database_url, connections=connections)
        await db.open()
        hub = EventHub(redis_url, f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}")
        directory = Directory(db)
        directory.start()
        return cls(db, hub, directory, Acceptance(db, hub, Admission(db, hub.budget)), body_limit)

    async def close(self) -> None:
        """Close them."""
        await self.directory.close()
        await self.hub.aclose()
        await self.db.close()
