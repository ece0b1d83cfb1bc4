"""One leader: by a lock that lives and dies with its connection."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from django.db import connection

from orchestrator.leader import Leadership, lock_number
from tests.orchestrator.conftest import wait_for


@pytest.fixture
def two(database_url: str) -> Iterator[tuple[Leadership, Leadership]]:
    pair = Leadership("stack-of-test"), Leadership("stack-of-test")
    yield pair
    for one in pair:
        one.resign()


def cut(number: int) -> None:
    """End the connection that holds the lock, as Postgres' restart or a broken network does."""
    with connection.cursor() as cursor:
        low, high = number & 0xFFFFFFFF, (number >> 32) & 0xFFFFFFFF
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted "
            "AND objid::bigint = %s AND classid::bigint = %s",
            [low, high],
        )
        assert cursor.fetchall() == [(True,)]


def test_a_thread_that_learns_late_of_a_lost_connection_costs_no_new_lead(
    two: tuple[Leadership, Leadership], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a start's thread does, which asked while the old one was still there."""
    first, _ = two
    assert first.campaign()
    lost = first._connection
    assert lost is not None

    def late(*arguments: object) -> None:
        monkeypatch.undo()
        assert not first.confirm()
        assert first.campaign()
        raise psycopg.OperationalError("the connection is lost")

    cut(first._number)
    monkeypatch.setattr(lost, "execute", late)
    assert not first.confirm()
    assert first.leads
    assert first.confirm()


def test_one_leads_the_other_waits(two: tuple[Leadership, Leadership]) -> None:
    first, second = two
    assert first.campaign()
    assert first.campaign()
    assert not second.campaign()
    assert not second.confirm()
    first.resign()
    assert second.campaign()
    assert not first.campaign()


def test_who_loses_the_connection_has_lost_the_lead(two: tuple[Leadership, Leadership]) -> None:
    first, second = two
    assert first.campaign()
    cut(lock_number("stack-of-test"))
    wait_for(second.campaign, what="the second leads")
    assert not first.confirm()
    assert not first.leads
    assert not first.campaign()
    second.resign()
    assert first.campaign()


def test_stacks_have_leaders_of_their_own(two: tuple[Leadership, Leadership]) -> None:
    other = Leadership("another-stack")
    assert two[0].campaign()
    assert other.campaign()
    other.resign()
