"""The pages of `benchmarks.console` on 20,000 tasks: no plan reads all of them, and no page asks more often for more rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.utils import timezone

from benchmarks.console.fill import fill
from benchmarks.console.looks import Look, looks
from staff.lists import sizes

LARGE = {"agents_task", "agents_turn", "agents_toolcall", "agents_message", "billing_usagehour"}
QUERIES_AT_MOST = 10


@pytest.fixture
def filled(db: None) -> Client:
    fill(tasks=20_000, tenants=100, workers=40, decisions=200, conversations=3_000, now=timezone.now())
    client = Client()
    client.force_login(User.objects.create_user("onlooker", is_staff=True, is_superuser=True))
    return client


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", []):
        yield from nodes(inner)


def asked(client: Client, look: Look) -> list[tuple[str, Any]]:
    """The statements of a page with their parameters."""
    seen: list[tuple[str, Any]] = []

    def note(execute: Any, sql: str, parameters: Any, many: bool, context: Any) -> Any:
        seen.append((sql, parameters))
        return execute(sql, parameters, many, context)

    with connection.execute_wrapper(note):
        assert client.get(look.address).status_code == 200, look.name
    return seen


def test_no_page_reads_a_whole_table(filled: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizes, "AFFORDABLE_COST", sizes.AFFORDABLE_COST / 50)  # the tables are a fiftieth of large ones
    read = []
    for look in looks(now=timezone.now()):
        statements = asked(filled, look)
        assert len(statements) <= QUERIES_AT_MOST, (look.name, statements)
        for sql, parameters in statements:
            if not sql.startswith("SELECT"):
                continue
            with connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", parameters)
                (plan,) = cursor.fetchone()
            plan = json.loads(plan) if isinstance(plan, str) else plan
            scanned = {
                node["Relation Name"] for node in nodes(plan[0]["Plan"]) if node["Node Type"].endswith("Seq Scan")
            }
            large = {"agents_task"} if "COUNT(" in sql else LARGE  # the others are short enough here to be counted
            read += [f"{look.name}: {table}: {sql[:80]} … {sql[-300:]}" for table in scanned & large]
    assert not read, "\n".join(read)
