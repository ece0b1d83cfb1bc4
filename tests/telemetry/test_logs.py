"""Lines as JSON: what each is about, exceptions as one field, nothing secret."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from typing import Any

import pytest

from telemetry.logs import JsonFormatter, UnknownFormat, about, formatter, log_format, masked, note
from telemetry.roles import role_of

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 a=1"


def line(message: str = "said %d", *arguments: Any, error: BaseException | None = None) -> dict[str, Any]:
    info = (type(error), error, error.__traceback__) if error else None
    record = logging.LogRecord("agents.x", logging.WARNING, __file__, 1, message, arguments, info)
    text = JsonFormatter("web").format(record)
    assert "\n" not in text
    said: dict[str, Any] = json.loads(text)
    return said


def test_a_line_has_time_level_logger_message_and_process() -> None:
    said = line("said %d", 3)
    assert (said["level"], said["logger"], said["message"], said["process"]) == ("WARNING", "agents.x", "said 3", "web")
    assert said["time"].endswith("Z")
    assert "task" not in said


def test_lines_are_about_what_is_known_by_then() -> None:
    with about(tenant="n", trace=TRACE, task=None):
        assert "task" not in line("x")
        note(task="t")
        with about(method="POST", status=202):
            said = line("x")
        assert "method" not in line("x")
    assert (said["tenant"], said["task"], said["status"]) == ("n", "t", 202)
    assert (said["trace_id"], said["span_id"]) == (TRACE[3:35], TRACE[36:52])
    assert "tenant" not in line("x")
    note(task="nobody's")  # outside of all, so it is about nothing
    assert "task" not in line("x")


async def test_two_requests_at_a_time_are_told_apart() -> None:
    both = asyncio.Event()

    async def request(task: str) -> str:
        with about():
            note(task=task)
            if task == "b":
                both.set()
            await both.wait()
            return str(line("x")["task"])

    assert await asyncio.gather(request("a"), request("b")) == ["a", "b"]


def test_an_exception_is_one_field() -> None:
    try:
        raise KeyError("gone")
    except KeyError as error:
        said = line("failed", error=error)
    assert "Traceback" in said["exception"]
    assert "KeyError: 'gone'" in said["exception"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("key ops_abcdefghijkLMNOP-_12 is", "key *** is"),
        ("Authorization: Bearer sk-anything-else", "Authorization: Bearer ***"),
        ("secret whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "secret ***"),
        ("no secret here: opsite_task", "no secret here: opsite_task"),
        (
            'duplicate key\nDETAIL:  Failing row contains (1, "what a tenant wrote",\nin two lines).',
            "duplicate key\nDETAIL: left out, it may quote a row",
        ),
    ],
)
def test_what_is_secret_is_masked(text: str, shown: str) -> None:
    assert masked(text) == shown
    assert line("%s", text)["message"] == shown


def test_a_quoted_row_in_a_traceback_goes_and_the_traceback_stays() -> None:
    head, tail = "Traceback (most recent call last):\nValueError: x\n", "Traceback (most recent call last):\n  File y"
    text = f"{head}DETAIL:  Failing row (a\nprompt)\n\n{tail}"
    assert masked(text) == f"{head}DETAIL: left out, it may quote a row\n{tail}"


def test_the_format_is_one_of_two() -> None:
    assert log_format({}) == log_format({"OPSITE_LOG_FORMAT": ""}) == "plain"
    assert log_format({"OPSITE_LOG_FORMAT": "JSON"}) == "json"
    with pytest.raises(UnknownFormat, match="OPSITE_LOG_FORMAT is 'xml': set it to one of plain, json"):
        log_format({"OPSITE_LOG_FORMAT": "xml"})
    assert not isinstance(formatter("plain", "web"), JsonFormatter)


@pytest.mark.parametrize(
    ("arguments", "role"),
    [
        (["manage.py", "serve", "--port", "1"], "web"),
        (["/app/manage.py", "record"], "recorder"),
        (["manage.py", "migrate"], "migrate"),
        (["/venv/bin/celery", "-A", "opsite"], "celery"),
        (["/venv/lib/celery/__main__.py", "-A", "opsite"], "celery"),
        (["/venv/bin/uvicorn", "opsite.asgi:application"], "uvicorn"),
        ([], "python"),
    ],
)
def test_a_process_is_called_by_what_started_it(arguments: list[str], role: str) -> None:
    assert role_of(arguments) == role


def test_workers_need_the_standard_library_only() -> None:
    import telemetry.logs

    assert telemetry.logs.__file__ is not None
    with open(telemetry.logs.__file__) as source:
        names = {words[1].split(".")[0] for words in map(str.split, source) if words[:1] in (["import"], ["from"])}
    assert names <= sys.stdlib_module_names
