"""One pool that cannot be placed does not stop the others, and a placement that fails stops only starts."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from orchestrator import records, spoilt
from orchestrator.fleet import Sight
from orchestrator.loop import Orchestrator
from orchestrator.models import Pool, ScalingPolicy, Worker
from orchestrator.placement.packing import Capacity, Taken
from orchestrator.revisions import note_edit
from orchestrator.spoilt import LEFT_OUT, NOBODY, allot_the_sound
from tests.orchestrator.conftest import Site, wait_for
from tests.orchestrator.test_allotment import draft, pool, worker

TWO = Capacity(("0", "1"), workers=9)


def test_a_draft_that_cannot_be_placed_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    good, bad = pool("good"), Pool(slug="bad", gpus_per_worker=1, gpu_share=float("nan"))
    drafts = [draft(bad, worker(bad, "0"), starts=1), draft(good, starts=2)]
    rows = [one.row for one in drafts[0].observed]
    got = allot_the_sound(TWO, Sight(), pools=[good, bad], rows=rows, drafts=drafts)
    assert got[good.pk].places == (Taken(("1",)),)  # what the bad one has stays its own
    assert got[bad.pk] == LEFT_OUT
    assert "pool bad: it cannot be placed" in caplog.text
    assert "pool good" not in caplog.text


def test_where_it_is_nobody_s_draft_nobody_starts() -> None:
    good = pool("good")
    broken = worker(good)
    broken.gpus = None
    got = allot_the_sound(TWO, Sight(), pools=[good], rows=[broken], drafts=[draft(good, starts=2)])
    assert got[good.pk] == NOBODY
    bad = Pool(slug="bad", gpus_per_worker=1, gpu_share=float("nan"))
    both = [draft(good, starts=2), draft(bad, starts=1)]
    assert set(allot_the_sound(TWO, Sight(), pools=[good, bad], rows=[broken], drafts=both).values()) == {NOBODY}


def test_while_the_placement_fails_workers_still_leave(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    shrinks = site.pool(policy={"min_workers": 1, "max_workers": 1})
    grows = site.pool(policy={"max_workers": 1})
    stop = threading.Event()
    thread = threading.Thread(target=Orchestrator(tick_s=0.1).run, args=(stop,))
    thread.start()
    try:
        wait_for(lambda: site.ready(shrinks), what="a worker is ready")

        def broken(*_: Any, **__: Any) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(spoilt, "allot", broken)
        ScalingPolicy.objects.filter(pool=shrinks).update(min_workers=0, idle_to_zero_s=0.1)
        ScalingPolicy.objects.filter(pool=grows).update(min_workers=1)
        wait_for(lambda: not site.live(shrinks), what="it has left")
        wait_for(
            lambda: any(NOBODY.note in reason for reason in site.reasons(grows)), what="it is said why none starts"
        )
        assert not site.live(grows)
        monkeypatch.undo()
        wait_for(lambda: site.ready(grows), what="it starts once the placement works")
    finally:
        stop.set()
        thread.join(20)


@pytest.mark.parametrize("fields", [{"gpu_share": 0.0}, {"gpu_share": 1.5}, {"gpus": "0"}, {"gpus": {"0": 1}}])
def test_rows_that_nobody_could_place_cannot_be(site: Site, fields: dict[str, Any]) -> None:
    of = site.pool()
    row = records.new_worker(of, note_edit(of.pk, now=timezone.now()).current, reason="r", now=0.0)
    with pytest.raises(IntegrityError, match=r"worker_share_of_its_gpus|worker_gpus_are_a_list"), transaction.atomic():
        Worker.objects.filter(pk=row.pk).update(**fields)
