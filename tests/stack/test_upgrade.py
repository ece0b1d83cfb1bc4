"""What an upgrade does to a service that runs: older code goes on beside the newer schema, and tables stay open."""

from __future__ import annotations

from importlib import import_module

import pytest
from django.db import connection, migrations


@pytest.mark.parametrize("table", ["orchestrator_pool", "orchestrator_poolrevision"])
def test_older_code_that_knows_no_generation_can_add_rows(db: None, table: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT column_default FROM information_schema.columns WHERE table_name = %s AND column_name = 'generation'",
            [table],
        )
        assert cursor.fetchone() == ("0",)


def test_indexes_of_tasks_are_built_while_tasks_come_and_go() -> None:
    migration = import_module("agents.migrations.0020_lists_of_many_rows").Migration
    assert not migration.atomic
    plain = (migrations.AddIndex, migrations.RemoveIndex)
    assert not [one for one in migration.operations if type(one) in plain]
