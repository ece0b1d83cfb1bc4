"""An image is pulled before a worker needs it: the real engine, a registry of this host, and a real orchestrator."""

from __future__ import annotations

import io
import os
import tarfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import docker
import pytest
from django.conf import settings
from docker.errors import ImageNotFound

from console.overview.hour import last_hour
from orchestrator import typical
from orchestrator.credentials import Credentials
from orchestrator.loop import Orchestrator
from orchestrator.models import Pool, Worker
from orchestrator.runtimes.docker import DockerRuntime
from orchestrator.specs import Site as Place
from orchestrator.specs import worker_spec
from orchestrator.stock.items import Item
from orchestrator.stock.weights import Weights
from orchestrator.stock_models import StockItem
from orchestrator.stock_rows import of_pools
from tests.orchestrator.conftest import ROOT, Site, wait_for
from tests.orchestrator.registry import Shelf, hold_image, hold_model, served

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

NAME = "opsite-test/worker"
NEW_BYTES = 8 << 20


@pytest.fixture
def engine(site: Site) -> Iterator[docker.DockerClient]:
    """The engine; containers of the test's stack are gone afterwards."""
    with closing(docker.from_env()) as client:
        yield client
        label = f"opsite.stack={site.env['OPSITE_STACK']}"
        for container in client.containers.list(all=True, filters={"label": label}, ignore_removed=True):
            container.remove(force=True)


@pytest.fixture
def registry(engine: docker.DockerClient, worker_image: str) -> Iterator[Shelf]:
    """A registry that has the worker's image with a layer more, which no engine has: all of it must come from there."""
    tag = f"opsite-test-{uuid.uuid4().hex[:12]}:latest"
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        for name, body in (
            ("Dockerfile", f"FROM {worker_image}\nCOPY new /new\n".encode()),
            ("new", os.urandom(NEW_BYTES)),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(body)
            tar.addfile(member, io.BytesIO(body))
    context.seek(0)
    image, _ = engine.images.build(fileobj=context, custom_context=True, tag=tag, network_mode="none")
    shelf = Shelf()
    hold_image(shelf, NAME, b"".join(image.save()))
    engine.images.remove(tag)
    with served(shelf):
        yield shelf
        with suppress(ImageNotFound):
            engine.images.remove(f"{shelf.address}/{NAME}:latest", force=True)


def test_it_is_pulled_when_a_pool_is_saved_and_a_start_waits_for_it(
    site: Site, registry: Shelf, engine: docker.DockerClient, running: Orchestrator
) -> None:
    image = f"{registry.address}/{NAME}:latest"
    pool = site.pool(runtime=Pool.Runtime.DOCKER, image=image, policy={"max_workers": 1})
    row = wait_for(
        lambda: StockItem.objects.filter(name=image, state="fetching", done_bytes__gt=0).first(),
        what="the pull is under way, though nothing waits for a worker",
    )
    assert (row.kind, row.host) == ("image", settings.OPSITE_HOST)
    assert row.total_bytes > row.done_bytes
    (turn,) = site.submit(pool, 1)
    refused = f"The image {image} is being pulled: "
    wait_for(
        lambda: [reason for reason in site.reasons(pool) if refused in reason and " % of " in reason],
        what="it is said why no worker starts",
    )
    shown = last_hour(now=time.time())["pools"][pool.slug]["stock"]
    assert shown.startswith(refused)
    assert f"(host {settings.OPSITE_HOST})" in shown
    assert not Worker.objects.exists()
    registry.go_on.set()
    wait_for(lambda: turn in site.finished(pool), what="the turn has ended", timeout_s=120)
    row.refresh_from_db()
    assert (row.state, row.error) == ("present", "")
    assert list(of_pools([pool]).values()) == [""]
    assert of_pools([pool], all_of_it=True)[pool.pk] == f"image {image}: present (host {settings.OPSITE_HOST})."
    worker = Worker.objects.get()
    assert "pulling" not in worker.reason
    assert set(worker.start_phases) == {"runtime", "interpreter", "import", "load", "first_token", "heard"}
    assert worker.start_phases["runtime"] < 60
    print(typical.of_pool(pool))


def test_what_cannot_be_pulled_fails_the_start_with_a_sentence_and_is_tried_again(
    site: Site, engine: docker.DockerClient, worker_image: str, running: Orchestrator
) -> None:
    with served(Shelf()) as registry:
        image = f"{registry.address}/{NAME}:{uuid.uuid4().hex[:12]}"
        pool = site.pool(runtime=Pool.Runtime.DOCKER, image=image, policy={"min_workers": 1})
        (failed,) = wait_for(lambda: Worker.objects.filter(pool=pool, state="failed")[:1], what="the start has failed")
        assert failed.error.startswith(f"Image {image} is not here and cannot be pulled (")
        assert failed.error.endswith("build it, or correct its name.")
        said = failed.error.removesuffix(".")
        wait_for(lambda: of_pools([pool])[pool.pk].startswith(said), what="the console says so")
        engine.images.get(worker_image).tag(image)  # somebody builds it
        try:
            wait_for(lambda: site.ready(pool), what="a worker is ready", timeout_s=120)
        finally:
            engine.images.remove(image, force=True)


def test_a_container_sees_the_weights_of_its_model_and_cannot_write_them(
    site: Site, engine: docker.DockerClient, worker_image: str, tmp_path: Path
) -> None:
    """The slim image has no engine that reads weights: the simulated one stands in, in a container made for the other."""
    cache, hub = tmp_path / "hub", Shelf()
    hub.go_on.set()
    hold_model(hub, "opsite/verse", ROOT / "models" / "opsite-verse")
    with served(hub):
        weights = Weights(cache, env={"HF_ENDPOINT": f"http://{hub.address}"}, root=ROOT)
        fetched = weights.fetch(Item("weights", "opsite/verse"), lambda status: None, threading.Event())
    assert (fetched.state, fetched.error) == ("present", "")
    recipe = Pool(engine="transformers", model="opsite/verse", runtime="docker", env={"OPSITE_ENGINE": "simulated"})
    spec = worker_spec(
        recipe,
        pool="p",
        lease_s=5,
        worker=str(uuid.uuid4()),
        gpus=(),
        site=Place(stack=site.env["OPSITE_STACK"], python="", image=worker_image, base_folder=ROOT),
        credentials=Credentials(redis_url=site.redis_url, cache_salt_key="k"),
        weights=fetched.folder,
    )
    assert spec.env["OPSITE_MODEL"] == fetched.folder
    runtime = DockerRuntime(stack=site.env["OPSITE_STACK"])
    ref = runtime.start(spec, lambda words: None)
    wait_for(lambda: "ready" in runtime.log_tail(ref), what="it is ready")
    container = engine.containers.get(ref)
    repository = cache / "models--opsite--verse"
    seen = {mount["Destination"]: mount["RW"] for mount in container.attrs["Mounts"]}
    assert seen == {str(repository): False, "/run/opsite-redis": False}
    config = f"{fetched.folder}/config.json"
    read = container.exec_run(["cat", config])
    assert (read.exit_code, read.output) == (0, (ROOT / "models" / "opsite-verse" / "config.json").read_bytes())
    for path in (config, f"{repository}/more"):
        assert container.exec_run(["sh", "-c", f"echo x > {path}"], user="0").exit_code != 0
    assert Path(config).read_bytes() == read.output
