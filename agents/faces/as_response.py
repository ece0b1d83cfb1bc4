"""What the Responses API adds to a task: instructions, the context that it continues, and the row by which it can be retrieved."""

from __future__ import annotations

from typing import Any, NamedTuple


class AsResponse(NamedTuple):
    """`history` are the messages of what it continues. `stored` are the columns that it brings to agents.models.StoredResponse
    (`preface` and `said` come with the input); None: it is not to be retrieved. `asked` are the words of the request that only its
    digest needs.
    """

    instructions: str = ""
    history: tuple[dict[str, Any], ...] = ()
    stored: dict[str, Any] | None = None
    asked: dict[str, Any] = {}
