"""What a client raises when Redis fails, and which of Redis' errors mean that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from redis import exceptions


class QueueUnavailable(Exception):
    """Redis cannot be reached, is loading, or is out of memory: try again later; nothing was changed or all of it was."""


class QueueRefused(QueueUnavailable):
    """Redis answered, and refuses to work (out of memory, loading): nothing was changed."""


_TEMPORARY = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.BusyLoadingError,
    exceptions.OutOfMemoryError,
    exceptions.ReadOnlyError,
    exceptions.TryAgainError,
    OSError,
)


@contextmanager
def translated() -> Iterator[None]:
    """Turn Redis' temporary errors into `QueueUnavailable`; others are bugs and pass."""
    try:
        yield
    except _TEMPORARY as error:
        raise QueueUnavailable(f"Redis does not serve the queue: {error}") from error
    except exceptions.ResponseError as error:
        if "OOM" in str(error) or "MISCONF" in str(error):
            raise QueueUnavailable(f"Redis does not serve the queue: {error}") from error
        raise


_FULL = "OOM command not allowed"
"""So Redis 6 says it of a script: as an error of the script's own."""
_TEMPORARY_WORDS = {
    "OOM",
    "MISCONF",
    "LOADING",
    "READONLY",
    "TRYAGAIN",
    "MASTERDOWN",
    "CLUSTERDOWN",
    "NOAUTH",
    "WRONGPASS",
}


def refusal(said: str) -> Exception:
    """Redis' own words for an error as an exception: temporary ones are `QueueUnavailable`, others redis-py's."""
    word, _, rest = said.partition(" ")
    if word in _TEMPORARY_WORDS or (word == "ERR" and _FULL in rest):
        return QueueRefused(f"Redis does not serve the queue: {said}")
    if word == "NOSCRIPT":
        return exceptions.NoScriptError(rest)
    if word == "NOPERM":
        return exceptions.NoPermissionError(rest)
    return exceptions.ResponseError(said)
