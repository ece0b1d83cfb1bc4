"""Whether an answer has the form that was asked for: the last word on it, whatever has guided the engine.

Pure. It runs between the steps of all turns of a worker, so no form may make it run long: regular expressions are matched in linear
time (by llguidance, whose dialect they are in; Python's own may take for ever), and a schema has a budget of steps.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import cache, lru_cache
from typing import Any, NoReturn

from gpu_worker.failures import sentence
from taskqueue.messages import OutputForm

# jsonschema and llguidance are imported where they are used: a worker whose turns ask for no form needs neither.

STEPS = 50_000
"""Keywords of a schema that are looked at for one answer: some 0.1 s."""

SHOWN = 300
"""Characters of the reason that are told."""


class _TooManySteps(Exception):
    """The schema asks for too much work on this answer."""


def fault(text: str, form: OutputForm) -> str:
    """Why the text does not have the form, as a clause; empty if it has."""
    try:
        if form.kind == "regex":
            return "" if matches(form.regex, text) else "it does not match the regular expression"
        try:
            value = json.loads(text, parse_constant=_refuse, parse_float=_finite)
        except ValueError as error:
            return f"it is no JSON: {error}"
        if form.kind == "json_object":
            return "" if isinstance(value, dict) else "it is JSON, but no object"
        return _against(value, form.json_schema or {})
    except RecursionError:
        return "it is nested too deeply to be checked"
    except _TooManySteps:
        return f"its schema takes more than {STEPS} steps to check it"
    except Exception as error:  # whatever a checker stumbles over, the worker goes on
        return f"it cannot be checked: {sentence(error)}"


def matches(pattern: str, text: str) -> bool:
    """Whether the whole text matches."""
    matcher = _matcher(pattern)
    matcher.reset()
    ids = _bytes().tokenize_str(text)
    found = matcher.try_consume_tokens(ids) == len(ids) and matcher.is_accepting()
    if matcher.is_error():
        _matcher.cache_clear()  # it would stay in error
        raise ValueError("a regular expression is too complex to be matched")
    return bool(found)


@cache
def _bytes() -> Any:
    """A tokenizer whose tokens are the bytes."""
    from llguidance import LLTokenizer

    return LLTokenizer("byte")


@lru_cache(maxsize=64)
def _matcher(pattern: str) -> Any:
    from llguidance import LLMatcher

    return LLMatcher(_bytes(), LLMatcher.grammar_from_regex(pattern), log_level=0)


def _against(value: Any, schema: dict[str, Any]) -> str:
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend, validator_for
    from referencing import Registry

    left = STEPS

    def counted(check: Callable[..., Iterator[Any] | None]) -> Callable[..., Iterator[Any]]:
        def run(*args: Any) -> Iterator[Any]:
            nonlocal left
            left -= 1
            if left < 0:
                raise _TooManySteps
            yield from check(*args) or ()

        return run

    draft = validator_for(schema, default=Draft202012Validator)
    checks = {**draft.VALIDATORS, "pattern": _pattern, "multipleOf": _multiple_of}
    # An empty registry: nothing is fetched for a `$ref`, whatever it says.
    made: Any = extend(draft, {name: counted(check) for name, check in checks.items()})  # type: ignore[no-untyped-call]
    checker = made(schema, registry=Registry())
    error = next(checker.iter_errors(value), None)
    return "" if error is None else f"at {error.json_path}: {error.message}"[:SHOWN]


def _pattern(_: Any, pattern: str, instance: Any, __: Any) -> Iterator[Any]:
    from jsonschema import ValidationError

    if isinstance(instance, str) and not matches(pattern, instance):
        yield ValidationError(f"does not match the pattern {pattern!r}")


def _multiple_of(_: Any, divisor: float, instance: Any, __: Any) -> Iterator[Any]:
    """Of the numbers as they are written: 0.3 is a multiple of 0.1."""
    from jsonschema import ValidationError

    is_number = isinstance(instance, int | float) and not isinstance(instance, bool)
    if is_number and Fraction(repr(instance)) % Fraction(repr(divisor)):
        yield ValidationError(f"{instance!r} is not a multiple of {divisor!r}")


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number in JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"{digits[:20]} is beyond what a number can hold")
    return number
