"""`manage.py stop_fleet`: ends all workers of this stack, before the service is taken down."""

from __future__ import annotations

import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from orchestrator.leader import Leadership
from orchestrator.services import stop_fleet

LEADER_GONE_TIMEOUT_S = 5.0
"""Postgres notices within moments that a leader was killed, but not at once."""
TRY_AGAIN_S = 0.1


class Command(BaseCommand):
    """Take the lead, so that nobody starts them again meanwhile, and end them."""

    help = "End all workers of this stack; refused while an orchestrator runs. What waits goes on waiting."

    def handle(self, *args: Any, **options: Any) -> None:
        connection.ensure_connection()  # who cannot lead afterwards is kept from it by another leader
        leadership = Leadership(settings.OPSITE_STACK)
        try:
            self._take(leadership)
            stopped = stop_fleet(grace_s=settings.OPSITE_DRAIN_GRACE_S)
        finally:
            leadership.resign()
        self.stdout.write(f"workers ended: {stopped}")

    def _take(self, leadership: Leadership) -> None:
        deadline = time.monotonic() + LEADER_GONE_TIMEOUT_S
        while not leadership.campaign():
            if time.monotonic() > deadline:
                raise CommandError("An orchestrator runs, and would start the workers again: stop it first.")
            time.sleep(TRY_AGAIN_S)
