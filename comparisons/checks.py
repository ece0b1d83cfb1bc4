"""What an answer is held against: a text, a regular expression, a JSON value. Pure.

Expressions and answers come from outside, so a search is given up after a time: it then counts as not passed, and says so.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec
import regex

SEARCH_S = 1.0
PATTERN_MAX = 1000


class BadCheck(Exception):
    """A check that cannot be made; `field` names it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class Checks(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Those of one item; any of them may be left out.

    `text`: the answer is this, but for white space around it. `regex`: it is found in the answer. `json`: the answer is JSON and
    holds this; its objects may have further members.
    """

    text: str | None = None
    regex: str | None = None
    json: Any = msgspec.UNSET


class Checked(msgspec.Struct, frozen=True):
    """What came of one check."""

    check: str
    passed: bool
    message: str = ""


def read(value: Any) -> Checks:
    """Checks as a caller writes them. Raises `BadCheck`."""
    try:
        checks = msgspec.convert(value, Checks)
    except msgspec.ValidationError as error:
        raise BadCheck("", f"{error}; known are text, regex and json") from error
    if checks.regex is not None:
        if len(checks.regex) > PATTERN_MAX:
            raise BadCheck("regex", f"at most {PATTERN_MAX} characters")
        try:
            regex.compile(checks.regex)
        except regex.error as error:
            raise BadCheck("regex", f"is no regular expression: {error}") from error
    return checks


def made(checks: Checks, answer: str | None) -> list[Checked]:
    """Each of them on an answer; None for a task that brought none."""
    found: list[Checked] = []
    if checks.text is not None:
        found.append(
            _made("text", answer, lambda text: "" if text.strip() == (checks.text or "").strip() else "another text")
        )
    if checks.regex is not None:
        found.append(_made("regex", answer, lambda text: _search(checks.regex or "", text)))
    if checks.json is not msgspec.UNSET:
        found.append(_made("json", answer, lambda text: _json(checks.json, text)))
    return found


def _made(name: str, answer: str | None, trouble: Any) -> Checked:
    message = "there is no answer" if answer is None else trouble(answer)
    return Checked(name, not message, message)


def _search(pattern: str, answer: str) -> str:
    try:
        return "" if regex.search(pattern, answer, timeout=SEARCH_S, concurrent=True) else "not found"
    except TimeoutError:
        return f"the search was given up after {SEARCH_S:g} s; write a simpler expression"


def _json(expected: Any, answer: str) -> str:
    try:
        value = json.loads(answer)
    except (ValueError, RecursionError):
        return "the answer is no JSON"
    return _difference(expected, value, "$")


def _difference(expected: Any, value: Any, path: str) -> str:
    """Where `value` does not hold `expected`; empty if it does."""
    if isinstance(expected, dict) and isinstance(value, dict):
        for name, inner in expected.items():
            if name not in value:
                return f"{path}.{name} is missing"
            if trouble := _difference(inner, value[name], f"{path}.{name}"):
                return trouble
        return ""
    if isinstance(expected, list) and isinstance(value, list):
        if len(expected) != len(value):
            return f"{path} has {len(value)} members, not {len(expected)}"
        for index, (inner, other) in enumerate(zip(expected, value, strict=True)):
            if trouble := _difference(inner, other, f"{path}[{index}]"):
                return trouble
        return ""
    # In Python True is 1; in JSON it is not.
    same = expected == value and isinstance(expected, bool) == isinstance(value, bool)
    return "" if same else f"{path} is another value"
