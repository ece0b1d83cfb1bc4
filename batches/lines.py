"""A line of a batch as its sender wrote it: what it must say, and why one cannot be run. Pure."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import msgspec

from agents.bodies import NUL, refuse_nul
from agents.faces.requests import convert
from agents.problems import Problem

CUSTOM_ID_MAX = 256

Failure = dict[str, Any]
"""The members `response` and `error` of a line in the error file; one of them is null."""


class LineIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One request: `body` is what would be sent to `url`."""

    custom_id: Annotated[str, msgspec.Meta(min_length=1, max_length=CUSTOM_ID_MAX)]
    method: str
    url: str
    body: dict[str, Any]


class _Body(msgspec.Struct):
    """The body as it was written, without its meaning."""

    body: msgspec.Raw


class _Named(msgspec.Struct):
    custom_id: str


class Read(NamedTuple):
    """What a line is known by, and why it cannot be run. `is_object`: it is JSON, and an object."""

    custom_id: str | None
    failure: Failure | None
    is_object: bool


def read(data: bytes, *, endpoint: str) -> Read:
    """Judge a line; `endpoint` is the batch's."""
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Read(None, failed("invalid_json_line", f"This line is not JSON: {error}"), is_object=False)
    if not isinstance(value, dict):
        return Read(None, failed("invalid_json_line", "This line is not a JSON object."), is_object=False)
    try:
        if NUL in data:
            refuse_nul(value)
        line = convert(value, LineIn)
    except Problem as problem:
        return Read(_custom_id(data), failed("invalid_line", problem.detail), is_object=True)
    if line.method != "POST":
        return Read(line.custom_id, failed("invalid_method", "`method` must be POST."), is_object=True)
    if line.url != endpoint:
        return Read(line.custom_id, failed("invalid_url", f"`url` must be the batch's endpoint, {endpoint}."), True)
    return Read(line.custom_id, None, is_object=True)


def body_of(data: bytes) -> bytes:
    """The JSON text of the request that a line without a failure holds."""
    return bytes(msgspec.json.decode(data, type=_Body).body)


def duplicate(custom_id: str) -> Failure:
    """An earlier line has this id already."""
    return failed("duplicate_custom_id", f"An earlier line has the custom_id {custom_id!r}; each needs its own.")


def failed(code: str, message: str) -> Failure:
    """A line that never came to be a request, or was ended."""
    return {"response": None, "error": {"code": code, "message": message}}


def _custom_id(data: bytes) -> str | None:
    try:
        named = msgspec.json.decode(data, type=_Named).custom_id
    except msgspec.MsgspecError:
        return None
    return named[:CUSTOM_ID_MAX].replace("\x00", "\ufffd")
