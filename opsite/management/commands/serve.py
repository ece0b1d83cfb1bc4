"""`manage.py serve`: one web process (daphne), or several (uvicorn) for load."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from opsite.measured import metrics, metrics_of_children


class Command(BaseCommand):
    """Parse, and hand over to the ASGI server."""

    help = "Serve the API and the console."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument("--server", choices=["daphne", "uvicorn"], default="daphne")
        parser.add_argument("--processes", type=int, default=1, help="web processes (uvicorn only)")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["server"] == "uvicorn":
            import uvicorn

            several = options["processes"] > 1
            with metrics_of_children() if several else metrics(pulse=None):
                uvicorn.run(
                    "opsite.asgi:application",
                    host=options["host"],
                    port=options["port"],
                    workers=options["processes"] if several else None,
                    access_log=False,
                    log_level="warning",
                )
            return
        from daphne.cli import CommandLineInterface

        address = ["-b", options["host"], "-p", str(options["port"])]
        with metrics(pulse=None):
            CommandLineInterface().run([*address, "-v", "0", "--no-server-name", "opsite.asgi:application"])
