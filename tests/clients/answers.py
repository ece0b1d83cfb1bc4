"""Whether what an example printed has the form of the answer that its page shows.

`…` in a shown text stands for anything. Of JSON, an object has the shown members and no other, unless it shows `"…": "…"` as well;
a list has the shown items, and more only if it shows `"…"` as the last. Strings are as shown, numbers are any numbers, and what is
shown as null may be anything.
"""

from __future__ import annotations

import json
import re
from typing import Any

REST = "…"


def difference(shown: str, printed: str, *, language: str) -> str | None:
    """The first thing that does not fit, in words; None where all does."""
    if language == "text":
        return None if _fits(shown.strip(), printed.strip()) else f"shown is {shown.strip()!r}, not {printed.strip()!r}"
    try:
        value = json.loads(printed)
    except ValueError:
        return f"not JSON: {printed.strip()!r}"
    return _unlike(json.loads(shown), value, "the answer")


def _fits(shown: str, text: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, shown.split(REST))), text, re.DOTALL) is not None


def _unlike(shown: Any, value: Any, at: str) -> str | None:
    if shown is None:
        return None
    if isinstance(shown, dict) and isinstance(value, dict):
        return _unlike_objects(shown, value, at)
    if isinstance(shown, list) and isinstance(value, list):
        return _unlike_lists(shown, value, at)
    if isinstance(shown, str):
        return None if isinstance(value, str) and _fits(shown, value) else f"{at} is {value!r}, not {shown!r}"
    if isinstance(shown, bool) or isinstance(value, bool):
        return None if shown is value else f"{at} is {value!r}, not {shown!r}"
    if isinstance(shown, int | float) and isinstance(value, int | float):
        return None
    return f"{at} is {value!r}, not like {shown!r}"


def _unlike_objects(shown: dict[str, Any], value: dict[str, Any], at: str) -> str | None:
    named = set(shown) - {REST}
    if missing := sorted(named - set(value)):
        return f"{at} has no {', '.join(missing)}"
    if REST not in shown and (more := sorted(set(value) - named)):
        return f"{at} has {', '.join(more)} as well"
    return next(filter(None, (_unlike(shown[name], value[name], f"{at}.{name}") for name in sorted(named))), None)


def _unlike_lists(shown: list[Any], value: list[Any], at: str) -> str | None:
    items = shown[:-1] if shown[-1:] == [REST] else shown
    if len(value) < len(items) or (items is shown and len(value) > len(items)):
        return f"{at} has {len(value)} items, not {len(items)}"
    pairs = enumerate(zip(items, value, strict=False))
    return next(filter(None, (_unlike(one, other, f"{at}[{number}]") for number, (one, other) in pairs)), None)
