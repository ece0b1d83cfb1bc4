"""`manage.py up`: the whole service on this machine until Ctrl-C."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from opsite.service import NotReady, PortTaken, Service, prepare
from opsite.welcome import welcome


class Command(BaseCommand):
    """Prepare, run, say what runs where."""

    help = "Run web, orchestrator, recorder, effects and celery under one supervisor."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8000)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            service = Service(host=options["host"], port=options["port"], say=self._say)
        except PortTaken as taken:
            raise CommandError(str(taken)) from None
        self._say(f"starting; data under {settings.OPSITE_DATA_DIR}")
        with service.interruptible():
            prepare(self._say)
        service.stop_on_signals()
        lines = list(welcome(service.url, processes=service.processes))
        threading.Thread(target=self._announce, args=(service, lines), daemon=True).start()
        service.run()
        self._say("stopped")

    def _announce(self, service: Service, lines: Sequence[str]) -> None:
        try:
            service.wait_ready()
        except NotReady as error:
            self._say(str(error))
            return
        for line in lines:
            self._say(line)

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
