"""How the tables are emptied after a test that commits: by DELETE.

Django's own way, TRUNCATE of every table, makes the files of all tables and indexes anew, some three hundred of them, though a test
fills ten tables. What stays is what Django would write again at once: content types and permissions.
"""

from __future__ import annotations

from typing import Any

from django.db import connection, transaction
from django.test import TransactionTestCase

WRITTEN_BY_DJANGO = {"django_content_type", "auth_permission"}


def empty_tables() -> None:
    """Delete all rows, the guards of history and the references between tables aside."""
    tables = (
        set(connection.introspection.django_table_names(only_existing=True, include_views=False)) - WRITTEN_BY_DJANGO
    )
    quoted = [connection.ops.quote_name(table) for table in sorted(tables)]
    with transaction.atomic(), connection.cursor() as cursor:
        # A process that was killed may have a statement under way: it is waited for, as TRUNCATE would.
        cursor.execute(f"LOCK TABLE {', '.join(quoted)} IN SHARE ROW EXCLUSIVE MODE")
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("; ".join(f"DELETE FROM {table}" for table in quoted))


def _fixture_teardown(case: Any) -> None:
    assert case.available_apps is None and not case.serialized_rollback, "these need Django's own way"  # noqa: PT018
    empty_tables()


def install() -> None:
    """Have Django's test cases, and so the fixture `transactional_db`, empty the tables in this way."""
    TransactionTestCase._fixture_teardown = _fixture_teardown
