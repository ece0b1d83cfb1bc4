"""Why a worker ends otherwise than by being drained, and the exit code that tells its parent."""

from __future__ import annotations

from typing import ClassVar

SENTENCE_CHARS = 400


def sentence(error: BaseException) -> str:
    """An error of any library as one line."""
    words = " ".join(str(error).split())
    if len(words) > SENTENCE_CHARS:
        words = words[: SENTENCE_CHARS - 3] + "..."
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


class WorkerFailure(Exception):
    """The worker ends; its message is the one line that operators read. Exit codes follow sysexits.h."""

    exit_code: ClassVar[int] = 1


class BadSetting(WorkerFailure):
    """An environment variable is missing or wrong: correct it, restarting does not help."""

    exit_code = 78


class EngineCannotStart(WorkerFailure):
    """The engine is unknown or not installed, or its model does not load: correct the pool; restarting is no help."""

    exit_code = 78


class RedisGone(WorkerFailure):
    """Redis did not answer for too long: start the worker again when it is back."""

    exit_code = 75


class EngineDied(WorkerFailure):
    """The engine stopped working as a whole; its turns were given back. Start the worker again."""

    exit_code = 70
