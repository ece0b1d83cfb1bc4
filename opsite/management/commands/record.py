"""`manage.py record`: the recorder and the sweep."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from agents.recorder import Recorder
from opsite.garbage import leave_loaded_alone
from opsite.measured import metrics
from telemetry import tracing


class Command(BaseCommand):
    """Run until SIGTERM or Ctrl-C."""

    help = "Bring results from Redis to Postgres."

    def handle(self, *args: Any, **options: Any) -> None:
        tracing.configure("recorder")
        with metrics():
            leave_loaded_alone()
            asyncio.run(self._run())

    async def _run(self) -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await Recorder(database_url=settings.DATABASE_URL, redis_url=settings.REDIS_URL).run(stop)
