"""`manage.py orchestrate`: the control loop; the first one leads, others stand by."""

from __future__ import annotations

import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from opsite.garbage import leave_loaded_alone
from opsite.measured import metrics
from orchestrator.loop import run
from orchestrator.placement.gpus import BadInventory


class Command(BaseCommand):
    """Run until SIGTERM or Ctrl-C; workers are left running, and adopted by the next orchestrator."""

    help = "Start and stop workers as the work demands."

    def handle(self, *args: Any, **options: Any) -> None:
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        try:
            with metrics():
                leave_loaded_alone()
                run(stop)
        except BadInventory as error:
            raise CommandError(str(error)) from None
