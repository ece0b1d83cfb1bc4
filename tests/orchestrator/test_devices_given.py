"""What a worker is told of its devices: engine arguments, threads, and what a container or a process may see."""

from __future__ import annotations

import json

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from orchestrator.credentials import Credentials
from orchestrator.models import Pool
from orchestrator.runtimes import WorkerSpec
from orchestrator.runtimes.docker import DockerRuntime
from orchestrator.specs import Site as SpecSite
from orchestrator.specs import fingerprint, worker_spec
from tests.orchestrator.conftest import ROOT, Site


def spec(pool: Pool, *gpus: str) -> WorkerSpec:
    site = SpecSite(stack="s", python="python3", image="img", base_folder=ROOT)
    credentials = Credentials(redis_url="unix://u:pw@/r.sock", cache_salt_key="k")
    return worker_spec(pool, pool=pool.slug, lease_s=5, worker="w", gpus=gpus, site=site, credentials=credentials)


@pytest.mark.parametrize(
    ("engine", "share", "given", "told"),
    [
        ("vllm", 0.5, {}, {"gpu_memory_utilization": 0.475}),
        ("vllm", 0.5, {"gpu_memory_utilization": 0.4}, {"gpu_memory_utilization": 0.4}),
        ("vllm", 1.0, {}, {}),
        ("transformers", 0.5, {}, {}),
    ],
)
def test_vllm_keeps_to_its_share_of_the_memory(engine: str, share: float, given: object, told: object) -> None:
    pool = Pool(slug="p", engine=engine, gpus_per_worker=1, gpu_share=share, engine_args=given)
    assert json.loads(spec(pool, "0").env["OPSITE_ENGINE_ARGS"]) == told
    assert pool.engine_args == given


def test_threads_follow_the_cores_unless_the_pool_says_otherwise() -> None:
    assert "OMP_NUM_THREADS" not in spec(Pool(slug="p")).env
    assert spec(Pool(slug="p", cpus_per_worker=3)).env["OMP_NUM_THREADS"] == "3"
    assert spec(Pool(slug="p", cpus_per_worker=3, env={"OMP_NUM_THREADS": 1})).env["OMP_NUM_THREADS"] == "1"


def test_what_a_worker_has_of_the_host_is_part_of_how_it_is_started() -> None:
    assert fingerprint(Pool(slug="p", gpu_share=0.5)) != fingerprint(Pool(slug="p"))
    assert fingerprint(Pool(slug="p", cpus_per_worker=1)) != fingerprint(Pool(slug="p"))
    assert fingerprint(Pool(slug="p", priority=9)) == fingerprint(Pool(slug="p"))


def test_a_container_sees_its_own_devices_and_else_none() -> None:
    runtime = DockerRuntime(stack="s")
    with_two = runtime.arguments(spec(Pool(slug="p"), "1", "3"))
    assert [request["DeviceIDs"] for request in with_two["device_requests"]] == [["1", "3"]]
    assert with_two["labels"]["opsite.gpus"] == "1,3"
    assert "NVIDIA_VISIBLE_DEVICES" not in with_two["environment"]
    without = runtime.arguments(spec(Pool(slug="p")))
    assert without["device_requests"] is None
    assert without["environment"]["NVIDIA_VISIBLE_DEVICES"] == "void"


@pytest.mark.parametrize(("gpus", "share"), [(0, 0.5), (2, 0.5), (1, 0.0), (1, 1.5)])
def test_only_one_gpu_can_be_shared(site: Site, gpus: int, share: float) -> None:
    pool = site.pool(gpus_per_worker=1, gpu_share=0.5)
    pool.gpus_per_worker, pool.gpu_share = gpus, share
    with pytest.raises(ValidationError, match="The GPU share is 1, or"):
        pool.full_clean()
    with pytest.raises(IntegrityError, match="pool_share_of_one_gpu"), transaction.atomic():
        pool.save()
