"""One running service for all tests of this folder."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.db import connection
from django.test.utils import setup_databases

from tests.clients.service import ROOT, Service
from tests.servers import ADDRESSES
from tests.tables import empty_tables

ADDRESS = urlsplit(ADDRESSES.database_url)


@pytest.fixture(scope="package")
def service(
    django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """Its rows are committed, and removed at its end, as after a test of transactions."""
    folder = tmp_path_factory.mktemp("service")
    with django_db_blocker.unblock():
        if connection.settings_dict["NAME"] == ADDRESS.path[1:]:
            # pytest-django makes the test database only where a test asks for it by itself.
            setup_databases(verbosity=0, interactive=False, aliases={"default"})
        environment = {
            **os.environ,
            "DATABASE_URL": ADDRESS._replace(path=f"/{connection.settings_dict['NAME']}").geturl(),
            "REDIS_URL": ADDRESSES.redis_url,
            "OPSITE_DATA_DIR": str(folder / "data"),
            "OPSITE_STACK": f"test-{uuid.uuid4().hex[:8]}",
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
        }
        service = Service(environment, ADDRESSES.redis_url, folder)
        try:
            service.start()
            yield service
        finally:
            service.end()
            empty_tables()
            connection.close()
