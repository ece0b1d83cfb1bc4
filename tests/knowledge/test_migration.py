"""Where Postgres cannot have pgvector, `migrate` says what to do."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import cast

import pytest
from django.db import connection, connections
from django.db.backends.postgresql.base import DatabaseWrapper

migration = import_module("knowledge.migrations.0001_collections")
OWNER = "owner_without_extensions"


@contextmanager
def reached(**settings: str) -> Iterator[DatabaseWrapper]:
    """The run's server by other settings, as Django knows a database."""
    connections["other"] = DatabaseWrapper({**copy.deepcopy(connection.settings_dict), **settings}, alias="other")
    try:
        yield cast("DatabaseWrapper", connections["other"])
    finally:
        connections["other"].close()
        del connections["other"]


@pytest.fixture
def plain(transactional_db: None) -> Iterator[str]:
    """A database of a role that is no superuser; both have this name."""
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE ROLE {OWNER} LOGIN")
        cursor.execute(f"CREATE DATABASE {OWNER} OWNER {OWNER}")
    yield OWNER
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE {OWNER}")
        cursor.execute(f"DROP ROLE {OWNER}")


def create(database: DatabaseWrapper) -> None:
    with database.schema_editor(atomic=False) as editor:
        migration.Pgvector().database_forwards("knowledge", editor, None, None)


def test_a_role_that_may_not_create_it(plain: str) -> None:
    said = "let a superuser run `CREATE EXTENSION vector` in this database once"
    with reached(NAME=plain, USER=plain) as database, pytest.raises(migration.PgvectorMissing, match=said):
        create(database)


def test_a_superuser_may_have_created_it_before(plain: str) -> None:
    with reached(NAME=plain) as superuser, superuser.cursor() as cursor:
        cursor.execute("CREATE EXTENSION vector")
    with reached(NAME=plain, USER=plain) as database:
        create(database)


def test_an_old_one(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migration, "LEAST", (99, 0))
    with reached() as database, pytest.raises(migration.PgvectorMissing, match="ALTER EXTENSION vector UPDATE"):
        create(database)
