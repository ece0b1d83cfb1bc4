"""The metrics' port of a process, by its settings."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.core.management.base import CommandError
from prometheus_client import REGISTRY, CollectorRegistry

from telemetry.pulse import PULSE, Pulse
from telemetry.serving import Serving, summed

FOLDER = "PROMETHEUS_MULTIPROC_DIR"


@contextmanager
def metrics(registry: CollectorRegistry = REGISTRY, *, pulse: Pulse | None = PULSE) -> Iterator[None]:
    """Serve them meanwhile, if OPSITE_METRICS_PORT asks for it."""
    port = settings.OPSITE_METRICS_PORT
    if not port:
        yield
        return
    try:
        serving = Serving(settings.OPSITE_METRICS_HOST, port, registry=registry, pulse=pulse)
    except OSError as error:
        raise CommandError(
            f"OPSITE_METRICS_PORT={port}: {error.strerror or error}; each process needs one of its own"
        ) from None
    try:
        yield
    finally:
        serving.close()


@contextmanager
def metrics_of_children() -> Iterator[None]:
    """The same for the sum over processes that are started meanwhile."""
    if not settings.OPSITE_METRICS_PORT:
        yield
        return
    folder = os.environ[FOLDER] = tempfile.mkdtemp(prefix="opsite-metrics-")
    try:
        with metrics(summed(folder), pulse=None):
            yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)
