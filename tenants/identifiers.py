"""Primary keys: UUIDv7 (RFC 9562), random but ordered by time, so that indexes grow at their end."""

from __future__ import annotations

import uuid

from uuid_utils.compat import uuid7


def new_id() -> uuid.UUID:
    """A new UUIDv7 as the standard library's UUID."""
    return uuid7()
