"""A request as its caller says it, the answer, and which headers a caller may set. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from outbound.failures import InvalidRequest

OWN_HEADERS = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
    }
    | {"te", "trailer", "transfer-encoding", "upgrade"}
)
"""Headers that say how the request travels: the client sets them itself."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\U0010ffff]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call. URL, headers and content are in no repr: they may hold secrets."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    content: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """The answer, whatever its status. `headers`: names in small letters. `url`: where it came from, after redirects."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    url: str = field(repr=False)
    cut: bool = False
    """Whether the body went on after `body`."""


def checked_headers(request: Request) -> tuple[tuple[str, str], ...]:
    """The request's headers. Raises InvalidRequest with the name of what may not be, never a value."""
    if request.method not in METHODS:
        raise InvalidRequest(f"The method must be one of {', '.join(sorted(METHODS))}.")
    for name, value in request.headers.items():
        if not _TOKEN.fullmatch(name):
            raise InvalidRequest(f"{name!r} is not a header's name.")
        if name.lower() in OWN_HEADERS:
            raise InvalidRequest(f"The header {name} is set by the client itself; leave it out.")
        if not _VALUE.fullmatch(value):
            raise InvalidRequest(f"The value of the header {name} holds a character that no header may have.")
    return tuple((name, value.strip()) for name, value in request.headers.items())
