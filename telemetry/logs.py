"""Log lines as JSON, one object a line, with what each is about: task, tenant, trace. Nothing but the standard library.

So a worker, whose image holds the queue's client and an engine and no more, logs by the same file as the control plane does; a
library for these few lines would be one more dependency in every GPU image. What is never in a line: API keys and bearer tokens,
which are masked wherever they stand, and the rows that Postgres quotes in the details of its errors, which hold what tenants wrote.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

FORMATS = ("plain", "json")
VARIABLE = "OPSITE_LOG_FORMAT"
PLAIN = "%(asctime)s %(levelname)s %(name)s: %(message)s"

_SECRET = re.compile(r"\b(ops|whsec)_[A-Za-z0-9_\-+/=]{8,}|(?<=[Bb]earer )[^\s'\"]+")
_QUOTED_ROW = re.compile(
    r"^(DETAIL|CONTEXT):.*(?:\n(?! {2}File |Traceback |[\w.]+(?:Error|Exception)\b).*)*", re.MULTILINE
)

_about: ContextVar[dict[str, Any] | None] = ContextVar("about", default=None)


class UnknownFormat(ValueError):
    """OPSITE_LOG_FORMAT names no format."""

    def __init__(self, given: str) -> None:
        super().__init__(
            f"{VARIABLE} is {given!r}: set it to one of {', '.join(FORMATS)}, or leave it out for plain lines"
        )


def log_format(environment: Mapping[str, str]) -> str:
    """The format that the environment asks for: `plain` unless it says otherwise. Raises UnknownFormat."""
    given = environment.get(VARIABLE, "").strip().lower() or "plain"
    if given not in FORMATS:
        raise UnknownFormat(given)
    return given


@contextmanager
def about(**known: Any) -> Iterator[None]:
    """Lines inside are about these, and about what lines outside are; None is left out.

    `task`, `tenant` and so on are ids; `trace` is a task's place in a trace, as its row has it.
    """
    token = _about.set({**(_about.get() or {}), **known})
    try:
        yield
    finally:
        _about.reset(token)


def note(**known: Any) -> None:
    """What turned out meanwhile: the lines of the innermost `about` are about this, too, from here on."""
    if (current := _about.get()) is not None:
        current.update(known)


class RefusedRequests(logging.Filter):
    """Of a request that was refused (4xx) Django logs a traceback, where an exception of its own said so: the line is enough."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let all lines through, those of refusals without their exception."""
        if 400 <= getattr(record, "status_code", 500) < 500:
            record.exc_info = record.exc_text = None
        return True


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message, process, what it is about, and an exception as one field."""

    def __init__(self, process: str = "") -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        at = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "time": at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": masked(record.getMessage()),
            "process": self._process,
            "pid": record.process,
        }
        for name, value in (_about.get() or {}).items():
            if value is None or value == "":
                continue
            if name == "trace":
                line["trace_id"], line["span_id"] = value[3:35], value[36:52]
            else:
                line[name] = value if isinstance(value, int | float) else str(value)
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = masked(self.formatException(record.exc_info))
        if record.stack_info:
            line["stack"] = masked(self.formatStack(record.stack_info))
        return json.dumps(line, default=str)


def masked(text: str) -> str:
    """Text without keys, and without rows that Postgres quoted."""
    if "DETAIL:" in text or "CONTEXT:" in text:
        text = _QUOTED_ROW.sub(r"\1: left out, it may quote a row", text)
    return _SECRET.sub("***", text)


def formatter(form: str, process: str) -> logging.Formatter:
    """The formatter of that format, for a process of that role."""
    return JsonFormatter(process) if form == "json" else logging.Formatter(PLAIN)


def log_what_ends_the_process() -> None:
    """An exception that nobody caught is a line, too, and so is a warning of Python's."""
    logging.captureWarnings(True)

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
        else:
            logging.getLogger("opsite").critical("this process ends", exc_info=(kind, error, trace))

    sys.excepthook = hook
