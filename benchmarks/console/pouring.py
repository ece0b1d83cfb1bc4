"""Rows by the hundred thousand: `INSERT … SELECT` with what a model says of the columns that nobody named."""

from __future__ import annotations

from typing import Any

from django.db import connection
from django.db.models import Model
from django.db.models.fields import NOT_PROVIDED

ID_AT = """
    CREATE OR REPLACE FUNCTION pg_temp.id_at(at timestamptz) RETURNS uuid LANGUAGE sql VOLATILE AS $$
        SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(md5(random()::text), 1, 3)
                || '8' || substr(md5(random()::text), 1, 15))::uuid $$
"""
"""A UUIDv7 of a moment, as `tenants.identifiers.new_id` makes it now."""


def prepare() -> None:
    """What the expressions below use, for this connection."""
    with connection.cursor() as cursor:
        cursor.execute(ID_AT)


def pour(model: type[Model], source: str, **columns: str) -> int:
    """Insert a row of the model for each of `source` (what stands behind FROM), and say how many.

    `columns`: SQL by field. The others get the model's default, where they take no NULL. No percent sign may stand in the SQL.
    """
    names: list[str] = []
    values: list[str] = []
    parameters: list[Any] = []
    for field in model._meta.concrete_fields:
        if field.name in columns:
            names.append(str(field.column))
            values.append(columns.pop(field.name))
        elif not field.null and field.db_default is NOT_PROVIDED:
            names.append(str(field.column))
            values.append("%s")
            parameters.append(_default(field))
    if columns:
        raise ValueError(f"{model.__name__} has no fields {', '.join(columns)}")
    statement = f"INSERT INTO {model._meta.db_table} ({', '.join(names)}) SELECT {', '.join(values)} FROM {source}"
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return int(cursor.rowcount)


def run(statement: str) -> None:
    """Any other statement."""
    with connection.cursor() as cursor:
        cursor.execute(statement)


def _default(field: Any) -> Any:
    return field.get_db_prep_save(field.get_default(), connection)
