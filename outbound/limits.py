"""How much a call may cost. Pure."""

from __future__ import annotations

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of one call, redirects included."""

    total_s: float = 30.0
    connect_s: float = 10.0
    request_bytes: int = 1_048_576
    response_bytes: int = 1_048_576
    """Of the answer's body, decompressed."""
    cut: bool = False
    """An answer over `response_bytes` is cut there; otherwise it is an error."""
    redirects: int = 3


DEFAULT = Limits()
