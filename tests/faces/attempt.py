"""One try with another tenant's names: what is asked, and what has to come of it."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple


class Names(NamedTuple):
    """By what a tenant's objects are called: slugs, ids, and the key under which a task was submitted."""

    agent: str
    revision: str
    pool: str
    conversation: str
    message: str
    task: str
    turn: str
    response: str
    api_key: str
    idempotency_key: str
    collection: str
    document: str
    secret: str
    tool: str
    mcp_server: str
    endpoint: str
    delivery: str
    file: str
    batch: str

    @classmethod
    def nobody(cls) -> Names:
        """Names of nothing at all."""
        names = cls(*(str(uuid.uuid4()) for _ in cls._fields))
        return names._replace(file=f"file-{names.file}", batch=f"batch_{names.batch}")


Filled = Callable[[Names, Names], dict[str, Any]]


@dataclass(frozen=True)
class Attempt:
    """One request or message. `body`, `query` and `headers` are made of another tenant's names and the asker's own.

    `fills` says which fields of which forms hold another's names, `field` which of them is refused. `own` means that it is
    accepted, since the name is the asker's to choose: what comes of it is his. `at` puts his own object into the path.
    """

    status: int
    fills: tuple[str, ...] = ()
    field: str = ""
    body: Filled | None = None
    query: Filled | None = None
    headers: Filled | None = None
    at: str = ""
    own: bool = False
    public: bool = False
    answer: str = "error"


class Asked(NamedTuple):
    """A request, ready to be sent."""

    method: str
    path: str
    rest: dict[str, Any]


def asked(route: str, attempt: Attempt, theirs: Names, own: Names) -> list[Asked]:
    """The attempt at a route; a path's parameter is filled with every one of the other tenant's names in turn."""
    method, path = route.split(" ")
    rest: dict[str, Any] = {}
    for argument, fill in (("json", attempt.body), ("params", attempt.query), ("headers", attempt.headers)):
        if fill is not None:
            rest[argument] = fill(theirs, own)
    if "{" not in path:
        return [Asked(method, path, rest)]
    names = (getattr(own, attempt.at),) if attempt.at else theirs
    return [Asked(method, re.sub(r"{\w+}", name, path), rest) for name in names]
