"""The stock in Postgres and in the console: what is written, what goes, and how often Postgres is asked."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from console.overview.hour import last_hour
from orchestrator.models import Pool
from orchestrator.records import moment
from orchestrator.revisions import note_edit
from orchestrator.runtimes.docker import DockerRuntime
from orchestrator.stock.items import Item, Status
from orchestrator.stock.keeper import Stock
from orchestrator.stock.weights import Weights
from orchestrator.stock_models import StockItem
from orchestrator.stock_rows import StockRows, of_pools
from tests.orchestrator.conftest import ROOT, wait_for

pytestmark = pytest.mark.django_db
IMAGE, WEIGHTS = Item("image", "opsite-worker:1"), Item("weights", "opsite/verse")


def rows() -> set[tuple[str, str, str, int]]:
    return set(StockItem.objects.values_list("host", "name", "state", "done_bytes"))


def test_only_what_a_reader_would_see_is_written_and_what_is_not_wanted_goes() -> None:
    StockItem.objects.create(host="old", kind="image", name="x", state="fetching", changed_at=moment(0))
    kept = StockRows("here")
    kept.write({IMAGE: Status("fetching", 10, 1000), WEIGHTS: Status()}, now=1.0)
    assert rows() == {("here", IMAGE.name, "fetching", 10), ("here", WEIGHTS.name, "missing", 0)}
    with CaptureQueriesContext(
        connection,
    ) as asked:
        kept.write({IMAGE: Status("fetching", 11, 1000), WEIGHTS: Status()}, now=2.0)  # still 1 %
    assert len(asked) == 0
    with CaptureQueriesContext(connection) as asked:
        kept.write({IMAGE: Status("fetching", 30, 1000), WEIGHTS: Status("failed", error="Nul\0.")}, now=3.0)
    assert len(asked) == 1
    assert rows() == {("here", IMAGE.name, "fetching", 30), ("here", WEIGHTS.name, "failed", 0)}
    kept.write({IMAGE: Status("present")}, now=4.0)
    assert rows() == {("here", IMAGE.name, "present", 0)}
    StockRows("here").write({IMAGE: Status("present")}, now=5.0)  # the next leader
    assert StockItem.objects.get().changed_at == moment(5.0)


def made(slug: str, **fields: object) -> Pool:
    pool = Pool.objects.create(slug=slug, name=slug, engine="transformers", runtime="docker", **fields)
    note_edit(pool.pk, now=moment(1.0))
    return pool


def test_a_pool_shows_what_it_waits_for_and_many_cost_no_more_queries(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    one = made("one", image=IMAGE.name, model=WEIGHTS.name)
    StockRows("here").write({IMAGE: Status("present"), WEIGHTS: Status("fetching", 43, 100)}, now=1.0)
    said = "The weights of opsite/verse are being fetched: 43 % of 100 bytes (host here)."
    assert of_pools([one])[one.pk] == said
    assert of_pools([one], all_of_it=True)[one.pk] == f"image opsite-worker:1: present (host here). {said}"
    with CaptureQueriesContext(connection) as for_one:
        assert last_hour(now=1.0)["pools"]["one"]["stock"] == said
    more = [made(f"pool-{number}", model=f"opsite/m{number}") for number in range(5)]
    with CaptureQueriesContext(connection) as for_many:
        shown = {slug: pool["stock"] for slug, pool in last_hour(now=1.0)["pools"].items()}
    assert shown == {"one": said} | {pool.slug: "" for pool in more}
    assert len(for_many) == len(for_one)
    page = admin_client.get(reverse("admin:orchestrator_pool_change", args=[one.pk])).content.decode()
    assert said in page
    assert "opsite/verse" in admin_client.get(reverse("admin:orchestrator_stockitem_changelist")).content.decode()


def test_without_an_engine_an_image_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    weights = Weights(ROOT / "nowhere", env={}, root=ROOT)
    stock = Stock(host="here", images=DockerRuntime(stack="s"), weights=weights)
    stock.want([IMAGE])
    wait_for(lambda: stock.status(IMAGE).state == "failed", what="it is known that there is no engine")
    assert stock.status(IMAGE).error.startswith("Docker engine is not reachable at tcp://127.0.0.1:1")
    stock.close()
    assert stock.statuses() == {}
