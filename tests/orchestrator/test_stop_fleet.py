"""`manage.py stop_fleet`: not while somebody leads, because that one would start the workers again."""

from __future__ import annotations

import io
import threading

import pytest
from django.core.management import CommandError, call_command

from opsite.management.commands import stop_fleet
from orchestrator.leader import Leadership
from orchestrator.loop import Orchestrator
from orchestrator.models import Worker
from tests.orchestrator.conftest import Site, wait_for


def test_it_refuses_while_somebody_leads(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stop_fleet, "LEADER_GONE_TIMEOUT_S", 0.2)
    leader = Leadership(site.env["OPSITE_STACK"])
    assert leader.campaign()
    try:
        with pytest.raises(CommandError, match=r"^An orchestrator runs, .* stop it first\.$"):
            call_command("stop_fleet")
    finally:
        leader.resign()


def test_it_waits_for_a_leader_that_goes_and_ends_the_workers(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stop_fleet, "LEADER_GONE_TIMEOUT_S", 60)  # the machine may be slow
    pool = site.pool(policy={"min_workers": 1})
    stop = threading.Event()
    thread = threading.Thread(target=Orchestrator(tick_s=0.1).run, args=(stop,))
    thread.start()
    wait_for(lambda: site.ready(pool), what="a worker is ready")
    stop.set()
    said = io.StringIO()
    call_command("stop_fleet", stdout=said)
    thread.join(20)
    assert said.getvalue() == "workers ended: 1\n"
    assert not site.pids()
    assert list(Worker.objects.values_list("state", flat=True)) == ["stopped"]
    leader = Leadership(site.env["OPSITE_STACK"])
    assert leader.campaign()  # the command has given the lead back
    leader.resign()
