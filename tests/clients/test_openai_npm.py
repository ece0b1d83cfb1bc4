"""OpenAI's npm client, unchanged: js/client.test.mjs, run by node's own test runner."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.clients.service import JS, Service

TIMEOUT_S = 120
TENANT = "from-npm"


pytestmark = [pytest.mark.npm, pytest.mark.timeout(300)]  # whoever comes first waits for the service to start


def test_the_npm_client(service: Service, tmp_path: Path) -> None:
    environment = service.program_environment(service.key_of(TENANT), tmp_path)
    environment["READER_API_KEY"] = service.further_key_of(TENANT, scopes=["tasks:read"])
    environment["FULL_POOL"], environment["FULL_API_KEY"] = service.full_line(TENANT)
    done = subprocess.run(
        ["node", "--test", "--test-reporter=spec", str(JS / "client.test.mjs")],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "ℹ fail 0" in done.stdout
    assert "ℹ skipped 0" in done.stdout
