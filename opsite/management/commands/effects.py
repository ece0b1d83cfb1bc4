"""`manage.py effects`: tool calls, webhooks, batches, timetables: what goes on outside requests and workers."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from opsite import effects
from opsite.garbage import leave_loaded_alone
from opsite.measured import metrics
from telemetry import tracing


class Command(BaseCommand):
    """Run until SIGTERM or Ctrl-C."""

    help = "Make tool calls, deliver webhooks, run batches and timetables."

    def handle(self, *args: Any, **options: Any) -> None:
        tracing.configure("effects")
        with metrics():
            leave_loaded_alone()
            asyncio.run(self._run())

    async def _run(self) -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await effects.run(
            stop,
            database_url=settings.DATABASE_URL,
            redis_url=settings.REDIS_URL,
            body_limit=settings.OPSITE_BODY_LIMIT_BYTES,
            connections=settings.OPSITE_EFFECTS_DB_CONNECTIONS,
        )
