"""A hub's model is fetched before a worker needs it: the hub's real client, a hub on this host, real workers and engine."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from orchestrator.loop import Orchestrator
from orchestrator.models import Pool, Worker
from orchestrator.needs import needed_by
from orchestrator.stock.hub import ABANDONED_S, NoRoom, reason, tidy
from orchestrator.stock.items import Item, Status
from orchestrator.stock.weights import Weights
from orchestrator.stock_models import StockItem
from orchestrator.stock_rows import of_pools
from tests.orchestrator.conftest import ROOT, Site, wait_for
from tests.orchestrator.registry import Shelf, hold_model, served

MODEL = "opsite/verse"
FOLDER = ROOT / "models" / "opsite-verse"
MIB = 1 << 20


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    """A hub with the demo model, the same weights in an older form, and a large file that arrives in two halves."""
    shelf = Shelf()
    hold_model(shelf, MODEL, FOLDER, {"pytorch_model.bin": b"x" * MIB, "corpus.txt": bytes(40 * MIB)})
    with served(shelf):
        monkeypatch.setenv("HF_ENDPOINT", f"http://{shelf.address}")
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        yield shelf


@pytest.fixture
def cache(settings: Any, tmp_path: Path) -> Path:
    """This host's cache of models."""
    settings.OPSITE_MODEL_CACHE = str(tmp_path / "hub")
    return tmp_path / "hub"


def test_they_are_fetched_when_a_pool_is_saved_and_a_start_waits_for_them(
    hub: Shelf, cache: Path, site: Site, running: Orchestrator
) -> None:
    pool = site.pool(engine="transformers", model=MODEL, engine_args={}, policy={"max_workers": 1})
    row = wait_for(
        lambda: StockItem.objects.filter(name=MODEL, state="fetching", done_bytes__gte=10 * MIB).first(),
        what="the fetch is under way, though nothing waits for a worker",
    )
    assert row.kind == "weights"
    assert 48 * MIB < row.total_bytes < 49 * MIB  # all but the older form
    (turn,) = site.submit(pool, 1)
    refused = f"The weights of {MODEL} are being fetched: "
    wait_for(lambda: [said for said in site.reasons(pool) if refused in said], what="it is said why no worker starts")
    assert of_pools([pool])[pool.pk].startswith(refused)
    assert not Worker.objects.exists()
    hub.go_on.set()
    wait_for(lambda: turn in site.finished(pool), what="the turn has ended")
    assert site.finished(pool)[turn].state == "succeeded"
    row.refresh_from_db()
    assert row.state == "present"
    (snapshot,) = (cache / "models--opsite--verse" / "snapshots").iterdir()
    assert {path.name for path in snapshot.iterdir()} == {path.name for path in FOLDER.iterdir()} | {"corpus.txt"}


def test_what_is_here_is_used_without_asking_the_hub(hub: Shelf, cache: Path, site: Site) -> None:
    hub.go_on.set()
    pool = site.pool(engine="transformers", model=MODEL, engine_args={}, policy={"max_workers": 1})
    site.env |= {"OPSITE_MODEL_CACHE": str(cache), "HF_ENDPOINT": f"http://{hub.address}"}
    first = site.orchestrator()
    wait_for(lambda: StockItem.objects.filter(state="present"), what="the weights are here")
    first.terminate()
    first.wait()
    hub.asked.clear()
    site.orchestrator("b")
    (turn,) = site.submit(pool, 1)
    wait_for(lambda: turn in site.finished(pool), what="the turn has ended")
    assert hub.asked == []  # neither the next leader nor the worker


def test_what_the_hub_does_not_have_fails_the_start_with_a_sentence(
    hub: Shelf, cache: Path, site: Site, running: Orchestrator
) -> None:
    pool = site.pool(engine="transformers", model="opsite/prose", engine_args={}, policy={"min_workers": 1})
    (failed,) = wait_for(lambda: Worker.objects.filter(pool=pool, state="failed")[:1], what="the start has failed")
    said = "The weights of opsite/prose are not here, and the hub shows no such model: correct the pool's model"
    assert failed.error.startswith(said)
    wait_for(lambda: of_pools([pool])[pool.pk].startswith(said), what="the console says so")
    Pool.objects.filter(pk=pool.pk).update(is_paused=True, model="models/opsite-verse")
    wait_for(
        lambda: of_pools([Pool.objects.get(pk=pool.pk)])[pool.pk] == "",
        what="nothing more is said of what is not wanted",
    )


def fetchers(cache: Path) -> list[psutil.Process]:
    """Who fetches into that cache."""
    found = psutil.process_iter(["cmdline"])
    return [one for one in found if one.info["cmdline"] and one.info["cmdline"][-1] == str(cache)]


def test_a_fetch_ends_with_its_orchestrator_and_the_next_one_brings_it_to_its_end(
    hub: Shelf, cache: Path, site: Site
) -> None:
    site.pool(engine="transformers", model=MODEL, engine_args={})
    site.env |= {"OPSITE_MODEL_CACHE": str(cache), "HF_ENDPOINT": f"http://{hub.address}"}
    first = site.orchestrator()
    wait_for(lambda: StockItem.objects.filter(state="fetching", done_bytes__gte=10 * MIB), what="a part is here")
    assert len(fetchers(cache)) == 1
    first.kill()
    first.wait()
    wait_for(lambda: not fetchers(cache), what="nobody fetches")
    hub.go_on.set()
    site.orchestrator("b")
    wait_for(lambda: StockItem.objects.filter(state="present"), what="all of it is here")
    (snapshot,) = (cache / "models--opsite--verse" / "snapshots").iterdir()
    assert (snapshot / "corpus.txt").read_bytes() == bytes(40 * MIB)
    assert not Worker.objects.exists()


def fetched(hub: Shelf, cache: Path, name: str) -> Status:
    """What becomes of a fetch, without an orchestrator."""
    env = {"HF_ENDPOINT": f"http://{hub.address}", "HOME": str(cache.parent)}
    return Weights(cache, env=env, root=ROOT).fetch(Item("weights", name), lambda status: None, threading.Event())


@pytest.mark.parametrize(
    ("revision", "refusal", "sentence"),
    [
        ("main", (403, "GatedRepo"), "the hub gives them to nobody without leave: ask for it there, and set HF_TOKEN"),
        ("main", (401, "RepoNotFound"), "the hub shows no such model: correct the pool's model, or set HF_TOKEN"),
        (
            "v9",
            (404, "RevisionNotFound"),
            "the hub has no revision v9 of it: correct `revision` in the engine arguments",
        ),
        ("main", (503, ""), "cannot be fetched (HfHubHTTPError: "),
    ],
)
def test_each_refusal_of_the_hub_says_what_to_change(
    tmp_path: Path, revision: str, refusal: tuple[int, str], sentence: str
) -> None:
    hub = Shelf()
    hub.refusals[f"/api/models/opsite/secret/revision/{revision}"] = refusal
    with served(hub):
        status = fetched(hub, tmp_path / "hub", f"opsite/secret@{revision}")
    assert status.state == "failed"
    assert status.error.startswith(f"The weights of opsite/secret are not here, and {sentence}")


@pytest.mark.django_db
def test_a_gated_model_is_fetched_with_the_token_that_the_hub_takes(hub: Shelf, tmp_path: Path) -> None:
    """Whichever pool it is that has it: the first has none, the next one's is refused."""
    hub.go_on.set()
    hub.token = "hf_right"
    tokens = ({}, {"HF_TOKEN": "hf_wrong"}, {"HF_TOKEN": "hf_right"})
    pools = [Pool(slug=f"p{nth}", engine="vllm", model=MODEL, env=env) for nth, env in enumerate(tokens)]
    (item,) = needed_by(pools, image="", base_folder=ROOT)
    weights = Weights(tmp_path / "hub", env={"HF_ENDPOINT": f"http://{hub.address}", "HOME": str(tmp_path)}, root=ROOT)
    assert [way.get("HF_TOKEN") for way in item.ways] == ["hf_wrong", "hf_right", None]
    assert weights.fetch(item, lambda status: None, threading.Event()).state == "present"
    (refused,) = needed_by(pools[:2], image="", base_folder=ROOT)
    weights = Weights(tmp_path / "new", env={"HF_ENDPOINT": f"http://{hub.address}", "HOME": str(tmp_path)}, root=ROOT)
    assert "the hub gives them to nobody without leave" in weights.fetch(refused, print, threading.Event()).error


def test_a_hub_that_is_away_is_named_and_what_is_here_needs_none(hub: Shelf, tmp_path: Path) -> None:
    hub.go_on.set()
    here = fetched(hub, tmp_path / "hub", MODEL)
    assert (here.state, Path(here.folder).parent.name) == ("present", "snapshots")
    nobody = Shelf()
    with served(nobody):
        pass  # its port is nobody's from here on
    assert fetched(nobody, tmp_path / "hub", MODEL) == here
    missing = fetched(nobody, tmp_path / "hub", "opsite/prose")
    assert missing.error.startswith("The weights of opsite/prose are not here, and cannot be fetched (ConnectError")
    assert missing.error.endswith("see that this host reaches the hub, or name a folder as the pool's model.")


def test_a_disk_that_is_too_small_is_said_before_it_is_full() -> None:
    said = reason(NoRoom("/data/hub has room for 10 MiB of the 16000 MiB that are missing"), "main")
    assert said.startswith("cannot be fetched: /data/hub has room for 10 MiB of the 16000 MiB that are missing.")
    assert "OPSITE_MODEL_CACHE" in said


def test_parts_that_a_killed_process_left_behind_go_and_those_of_others_stay(tmp_path: Path) -> None:
    old, new = tmp_path / "1.aa.incomplete", tmp_path / "2.bb.incomplete"
    for path in (old, new, tmp_path / "3"):
        path.write_text("x")
    long_ago = time.time() - ABANDONED_S - 60
    os.utime(old, (long_ago, long_ago))
    os.utime(tmp_path / "3", (long_ago, long_ago))
    tidy(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"2.bb.incomplete", "3"}
