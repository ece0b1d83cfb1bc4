"""A report as CSV: one row to an input, for a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from typing import Any

_SIDE = (
    "state",
    "output",
    "checks_passed",
    "prompt_tokens",
    "completion_tokens",
    "queued_s",
    "first_token_s",
    "total_s",
)
COLUMNS = ("number", "messages", "differ", *(f"{side}_{name}" for side in ("left", "right") for name in _SIDE))
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def lines(items: Iterable[dict[str, Any]]) -> Iterator[str]:
    """The header, then a line to each item of `comparisons.selectors.items`."""
    yield _line(COLUMNS)
    for item in items:
        cells = [item["number"], json.dumps(item["messages"], ensure_ascii=False), item["differ"]]
        for side in ("left", "right"):
            run = item[side]
            passed = f"{sum(check['passed'] for check in run['checks'])} of {len(run['checks'])}"
            cells += [passed if name == "checks_passed" else run[name] for name in _SIDE]
        yield _line(cells)


def _line(cells: Iterable[Any]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer).writerow([_plain(cell) for cell in cells])
    return buffer.getvalue()


def _plain(cell: Any) -> Any:
    """A spreadsheet takes text that begins so for a formula, and what stands here was written by a model: a quote makes it text."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell
