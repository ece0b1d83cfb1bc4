"""The calculator, by the library simpleeval: arithmetic alone, bounded. Pure."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable
from typing import Any

from simpleeval import DEFAULT_OPERATORS, InvalidExpression, SimpleEval

from agents.tools.results import CallFailed

EXPRESSION_MAX = 500
DIGITS_MAX = 300
BITS_MAX = 4_096
"""Of a whole number on the way. Larger ones take long to be worked out, and all other calls wait meanwhile."""
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "sqrt": math.sqrt, "log": math.log, "log10": math.log10, "exp": math.exp, "sin": math.sin, "cos": math.cos, "tan": math.tan,
    "abs": abs, "round": round, "min": min, "max": max, "floor": math.floor, "ceil": math.ceil,
}  # fmt: skip


def _times(left: Any, right: Any) -> Any:
    if isinstance(left, int) and isinstance(right, int) and left.bit_length() + right.bit_length() > BITS_MAX:
        raise OverflowError("a number on the way is too large")
    return left * right


def _power(base: Any, exponent: Any) -> Any:
    if isinstance(base, int) and isinstance(exponent, int) and base.bit_length() * abs(exponent) > BITS_MAX:
        raise OverflowError("a number on the way is too large")
    return base**exponent


OPERATORS = {
    **{kind: does for kind, does in DEFAULT_OPERATORS.items() if kind is not ast.LShift},
    ast.Mult: _times,
    ast.Pow: _power,
}


def calculate(expression: str) -> str:
    """The value of an arithmetic expression as text, or `CallFailed`."""
    if len(expression) > EXPRESSION_MAX:
        raise CallFailed(f"The expression has more than {EXPRESSION_MAX} characters.", sent=False)
    try:
        value = SimpleEval(operators=OPERATORS, functions=FUNCTIONS, names={"pi": math.pi, "e": math.e}).eval(
            expression
        )
    except (
        InvalidExpression,
        SyntaxError,
        ArithmeticError,
        ValueError,
        TypeError,
        RecursionError,
        MemoryError,
    ) as error:
        raise CallFailed(f"{expression!r} cannot be worked out: {error}", sent=False) from error
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise CallFailed(f"{expression!r} is no number.", sent=False)
    if isinstance(value, int) and abs(value) >= 10**DIGITS_MAX:
        raise CallFailed(f"{expression!r} has more than {DIGITS_MAX} digits.", sent=False)
    return str(value)
