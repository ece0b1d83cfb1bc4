"""Which tables are watched: each row of them that an actor adds, changes or deletes becomes an entry, by a trigger.

A trigger sees what no code can forget: updates of many rows, cascades, statements by hand. It fires only where `audit.acting` has
named an actor, so what the service does by itself costs a look at a setting.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.apps import apps
from django.db import connection


@dataclass(frozen=True, slots=True)
class Watched:
    """A model by its label.

    Args:
        label: As `tenants.ApiKey`.
        hidden: Columns with secrets (`digest`), members of JSON columns (`request.headers`), or all members of one whose names say
            that they are secret (`engine_args.*`): that they changed is told, what stands in them is not.
        ignored: Columns whose change alone is nobody's doing (`last_used_at`).
        staff_only: What tenants' applications do to it is their daily work, and not for this log.
    """

    label: str
    hidden: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    staff_only: bool = False


def watch(tables: Iterable[Watched]) -> None:
    """Put the triggers on these tables, and take them from all others. What is there already is replaced."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname = 'audit_watch'")
        before = {table for (table,) in cursor.fetchall()}
        cursor.execute("SELECT to_regproc('audit_note') IS NOT NULL")
        if cursor.fetchone() == (False,):
            return  # migrated back behind it
        there = set(connection.introspection.table_names(cursor))
        now = {table: one for one in tables if (table := apps.get_model(one.label)._meta.db_table) in there}
        for table in sorted(before - {*now}):
            cursor.execute(f"DROP TRIGGER audit_watch ON {connection.ops.quote_name(table)}")
        for table, one in now.items():
            actors = "current_setting('opsite.acting', true) <> ''"
            if one.staff_only:
                actors += " AND current_setting('opsite.acting', true) NOT LIKE '%%\"kind\": \"key\"%%'"
            cursor.execute(
                f"CREATE OR REPLACE TRIGGER audit_watch AFTER INSERT OR UPDATE OR DELETE ON {connection.ops.quote_name(table)} "
                f"FOR EACH ROW WHEN ({actors}) EXECUTE FUNCTION audit_note(%s, %s, %s)",
                [one.label.lower(), _array(one.hidden), _array(one.ignored)],
            )


def _array(names: tuple[str, ...]) -> str:
    return "{" + ",".join(names) + "}"
