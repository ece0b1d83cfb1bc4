"""Pages by key: each row is on exactly one page, forwards and backwards, whatever the order."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models import Count, F, QuerySet
from django.utils import timezone

from orchestrator.models import Pool, Worker
from orchestrator.revisions import note_edit
from staff.lists import keyset
from tests.scene import Scene

ORDERS: list[list[Any]] = [
    ["-started_at", "-id"],
    ["ready_at", "id"],  # holds NULLs, which come last
    ["-ready_at", "id"],  # which come first
    ["pool", "-started_at", "id"],  # by another table's order
    ["pool__slug", "-ready_at", "-pk"],
    [F("slots").desc(), "state", "pk"],
    ["-revision__number", F("ready_at") - F("started_at"), "pk"],
]


@pytest.fixture
def workers(db: None) -> QuerySet[Worker]:
    """23 of them in two pools, with times that several share, and some that were never ready."""
    now = timezone.now()
    for number in range(23):
        pool, _ = Pool.objects.get_or_create(slug=f"keyset-{number % 2}", defaults={"engine": Pool.Engine.SIMULATED})
        began = now - timedelta(seconds=number // 4)
        Worker.objects.create(
            pool=pool,
            revision=note_edit(pool.pk, now=now).current,
            runtime="process",
            slots=number % 3 + 1,
            started_at=began,
            ready_at=None if number % 5 == 0 else began + timedelta(seconds=number % 4),
        )
    return Worker.objects.all()


def walk(rows: QuerySet[Any], terms: tuple[keyset.Term, ...], size: int) -> list[Any]:
    """All pages, one after another, by the cursors of their last rows."""
    seen: list[Any] = []
    page = list(rows[:size])
    while page:
        seen += page
        place = keyset.place_of(terms, keyset.cursor_of(terms, page[-1]))
        page = list(rows.filter(keyset.beyond(terms, place))[:size])
    return [row.pk for row in seen]


@pytest.mark.parametrize("order", ORDERS, ids=str)
def test_every_row_is_on_one_page_in_both_directions(workers: QuerySet[Worker], order: list[Any]) -> None:
    rows, terms = keyset.ordered(workers, order)
    whole = [row.pk for row in rows]
    assert len(whole) == 23
    assert walk(rows, terms, 5) == whole
    back = keyset.turned(terms)
    assert walk(rows.order_by(*(term.order for term in back)), back, 4) == whole[::-1]


def test_rows_that_come_and_go_move_nothing(workers: QuerySet[Worker]) -> None:
    rows, terms = keyset.ordered(workers, ["-started_at", "-id"])
    whole = [row.pk for row in rows]
    cursor = keyset.cursor_of(terms, rows[9])
    Worker.objects.filter(pk=whole[3]).delete()
    newest = rows[0]
    newest.pk = None
    Worker.objects.create(
        pool=newest.pool, revision=newest.revision, runtime="process", slots=1, started_at=timezone.now()
    )
    assert [row.pk for row in rows.filter(keyset.beyond(terms, keyset.place_of(terms, cursor)))] == whole[10:]


def test_counted_columns_are_columns_too(scene: Scene) -> None:
    for _ in range(3):
        Pool.objects.create(slug=f"empty-{_}-{scene.pool.slug}", engine=Pool.Engine.SIMULATED)
    pools = Pool.objects.annotate(live=Count("workers"))
    rows, terms = keyset.ordered(pools, ["-live", "slug"])
    assert walk(rows, terms, 2) == [row.pk for row in rows]


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "!!!",
        "W10",
        "WzEsMiwzXQ",
        "WyJ4IiwieCJd",
        "WyIyMDI2LTAxLTAxVDAwOjAwOjAwIiwiYSJd",
        "WyJcdTAwMDAiLDFd",
        "bnVsbA",
    ],
)
def test_what_names_no_place_is_refused(db: None, cursor: str) -> None:
    _, terms = keyset.ordered(Worker.objects.all(), ["-started_at", "-id"])
    with pytest.raises(keyset.BadCursor):
        keyset.place_of(terms, cursor)


def test_text_with_a_nul_is_refused(db: None) -> None:
    _, terms = keyset.ordered(User.objects.all(), ["username"])
    with pytest.raises(keyset.BadCursor):
        keyset.place_of(terms, "WyJcdTAwMDAiXQ")
