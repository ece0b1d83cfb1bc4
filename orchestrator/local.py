"""This host as the settings describe it: runtimes, GPUs, limits."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from django.conf import settings

from orchestrator.access import Access
from orchestrator.fleet import Fleet
from orchestrator.host import Host
from orchestrator.models import Pool
from orchestrator.runtimes import Runtime
from orchestrator.runtimes.docker import DockerRuntime
from orchestrator.runtimes.inventory import Inventory
from orchestrator.runtimes.process import ProcessRuntime, inherited
from orchestrator.specs import Site
from orchestrator.stock.keeper import Stock
from orchestrator.stock.weights import Weights


def runtimes_of_settings() -> dict[str, Runtime]:
    """The runtimes of this stack by name."""
    return {
        Pool.Runtime.PROCESS.value: ProcessRuntime(
            stack=settings.OPSITE_STACK,
            folder=Path(settings.OPSITE_DATA_DIR) / "workers",
            working_directory=Path(settings.BASE_DIR),
        ),
        Pool.Runtime.DOCKER.value: DockerRuntime(
            stack=settings.OPSITE_STACK, socket_folder=settings.OPSITE_REDIS_SOCKET_DIR
        ),
    }


def access_of_settings() -> Access:
    """Workers' access to this stack's Redis."""
    return Access(
        stack=settings.OPSITE_STACK,
        secret=settings.SECRET_KEY,
        redis_url=settings.REDIS_URL,
        mode=getattr(settings, "OPSITE_WORKER_USERS", "auto"),
    )


def stock_of_settings(runtimes: Mapping[str, Runtime]) -> Stock:
    """What lies ready on this host."""
    engine = runtimes[Pool.Runtime.DOCKER.value]
    assert isinstance(engine, DockerRuntime)
    cache = Path(settings.OPSITE_MODEL_CACHE)
    weights = Weights(cache, env=inherited(os.environ), root=Path(settings.BASE_DIR))
    return Stock(host=settings.OPSITE_HOST, images=engine, weights=weights)


def host_of_settings(*, confirm: Callable[[], None]) -> Host:
    """The host on which this orchestrator runs."""
    runtimes = runtimes_of_settings()
    return Host(
        site=Site(
            stack=settings.OPSITE_STACK,
            python=settings.OPSITE_WORKER_PYTHON,
            image=settings.OPSITE_WORKER_IMAGE,
            base_folder=Path(settings.BASE_DIR),
            log_format=settings.OPSITE_LOG_FORMAT,
        ),
        access=access_of_settings(),
        fleet=Fleet(runtimes, grace_s=float(getattr(settings, "OPSITE_DRAIN_GRACE_S", 10.0)), confirm=confirm),
        inventory=Inventory(getattr(settings, "OPSITE_GPUS", None)),
        stock=stock_of_settings(runtimes),
        cpus=int(getattr(settings, "OPSITE_CPUS", None) or len(os.sched_getaffinity(0))),
        max_workers=int(getattr(settings, "OPSITE_MAX_LOCAL_WORKERS", 32)),
        start_timeout_s=float(getattr(settings, "OPSITE_START_TIMEOUT_S", 600.0)),
        confirm=confirm,
    )
