"""A list as a file: CSV or JSON lines, read by key in pages, so that its length takes no memory here.

Between two pages nothing is held in Postgres, no cursor and no transaction: who takes the file slowly keeps no old row from being
vacuumed. What comes or goes meanwhile in the part that was not read yet is in the file, or is not.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.contrib.admin.utils import lookup_field
from django.core.exceptions import ObjectDoesNotExist
from django.db.models import Model, QuerySet
from django.utils.html import strip_tags
from django.utils.safestring import SafeString

from staff.lists import keyset

ROWS_AT_MOST = 100_000
"""Rows of one file; narrow the list by a filter to have the others."""
CHUNK_ROWS = 1_000
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a cell that a spreadsheet would run begins with."""
TYPES = {"csv": "text/csv; charset=utf-8", "jsonl": "application/jsonl"}


def lines(
    rows: QuerySet[Any], columns: Sequence[str], *, ordering: Iterable[Any], at_most: int, model_admin: Any, kind: str
) -> Iterator[bytes]:
    """The file of these rows in this order, in pieces of many lines; the columns are the list's own."""
    if kind == "csv":
        yield _csv_line(columns)
    for page in keyset.pages(rows, ordering, size=CHUNK_ROWS, at_most=at_most):
        values = ([value_of(row, column, model_admin) for column in columns] for row in page)
        yield b"".join(_csv_line(one) if kind == "csv" else _json_line(columns, one) for one in values)


def value_of(row: Model, column: str, model_admin: Any) -> Any:
    """What a column says of a row, as a plain value; related objects by their name."""
    try:
        _, _, value = lookup_field(column, row, model_admin)
    except ObjectDoesNotExist:
        return None
    if isinstance(value, SafeString):
        return strip_tags(value)
    if isinstance(value, Model):
        return str(value)
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, (UUID, Decimal)):
        return str(value)
    return value if isinstance(value, (str, int, float, bool, list, dict, type(None))) else str(value)


def harmless(cell: Any) -> Any:
    """The cell of a CSV file; text that a spreadsheet would run as a formula begins with an apostrophe (OWASP, CSV injection)."""
    if isinstance(cell, (list, dict)):
        cell = json.dumps(cell, ensure_ascii=False)
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell


def _csv_line(cells: Sequence[Any]) -> bytes:
    line = io.StringIO()
    csv.writer(line).writerow([harmless(cell) for cell in cells])
    return line.getvalue().encode()


def _json_line(columns: Sequence[str], values: Sequence[Any]) -> bytes:
    return json.dumps(dict(zip(columns, values, strict=True)), ensure_ascii=False, default=str).encode() + b"\n"
