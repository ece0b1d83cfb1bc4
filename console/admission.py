"""Whether a websocket that was let in may still be there: its session, its user and its role are asked for anew."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from channels.auth import get_user
from channels.db import database_sync_to_async
from django.conf import settings

from staff.access import Access, access_of


async def access_now(scope: Mapping[str, Any]) -> Access | None:
    """The access of who opened the socket, as Postgres has it now; None after a logout, a new password, or the end of the role."""
    session = scope.get("session")
    if session is None or session.session_key is None:
        return None
    fresh = import_module(settings.SESSION_ENGINE).SessionStore(session.session_key)
    access: Access | None = await database_sync_to_async(access_of)(await get_user({"session": fresh}))
    return access
