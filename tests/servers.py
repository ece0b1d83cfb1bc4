"""Real servers for all tests: one embedded Postgres and one embedded Redis for the run, in a folder of its own.

A pytest plugin (`-p tests.servers`), so that it comes before pytest-django reads the settings.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from pathlib import Path

import psycopg

from opsite.embedded.stack import EmbeddedStack

_FOLDER = Path(tempfile.mkdtemp(prefix="opsite-tests-"))
_FOLDER.chmod(0o755)  # as root, Postgres runs as another user
_stack = EmbeddedStack(_FOLDER)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    ADDRESSES = _stack.start()

# Nothing here has to outlive the machine. What a killed process had committed is safe without it, even if that is Postgres.
with psycopg.connect(ADDRESSES.database_url, autocommit=True) as _connection:
    for _setting in ("fsync", "full_page_writes"):
        _connection.execute(f"ALTER SYSTEM SET {_setting} = off")
    _connection.execute("SELECT pg_reload_conf()")

os.environ.update(
    OPSITE_DATA_DIR=str(_FOLDER),
    SECRET_KEY="not secret: for tests only",
    DATABASE_URL=ADDRESSES.database_url,
    REDIS_URL=ADDRESSES.redis_url,
)


def pytest_unconfigure() -> None:
    """Stop the servers and remove their folder."""
    _stack.stop()
    shutil.rmtree(_FOLDER, ignore_errors=True)
