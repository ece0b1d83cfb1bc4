"""The embedded servers: they start by themselves, have one owner, outlive its violent death, and stop with the command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from opsite.embedded.redis import EmbeddedRedis, RedisDidNotStart
from opsite.embedded.stack import EmbeddedStack

ROOT = Path(__file__).resolve().parents[2]
HOLD = """
import sys
from pathlib import Path
from opsite.embedded.stack import EmbeddedStack
stack = EmbeddedStack(Path(sys.argv[1]))
print(*stack.start(), stack.owned, flush=True)
sys.stdin.readline()
stack.stop()
"""


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("embedded")
    for parent in (folder, *folder.parents[:3]):
        parent.chmod(0o755)  # as root, Postgres runs as another user
    yield folder
    stack = EmbeddedStack(folder)
    stack.start()
    stack.stop()


def hold(folder: Path) -> tuple[subprocess.Popen[str], list[str]]:
    """A process that has the servers until it is told to end."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    return process, process.stdout.readline().split()


def until_made(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, f"there is no {path}"
        time.sleep(0.005)


def let_go(process: subprocess.Popen[str]) -> None:
    process.communicate("\n", timeout=60)
    assert process.returncode == 0


def answers(database_url: str, redis_url: str) -> tuple[bool, bool]:
    try:
        with psycopg.connect(database_url) as connection:
            postgres = connection.execute("SELECT 1").fetchone() == (1,)
    except psycopg.OperationalError:
        postgres = False
    try:
        client = redis.Redis.from_url(redis_url)
        alive = bool(client.ping())
        client.close()
    except redis.ConnectionError:
        alive = False
    return postgres, alive


def test_one_owner_and_data_that_stays(folder: Path) -> None:
    owner, (database_url, redis_url, owned) = hold(folder)
    guest, (same_database, same_redis, guest_owned) = hold(folder)
    assert (owned, guest_owned) == ("True", "False")
    assert (same_database, same_redis) == (database_url, redis_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (x int)")
        connection.execute("CREATE EXTENSION vector")  # pgvector is inside
    client = redis.Redis.from_url(redis_url)
    client.set("kept", "yes")
    assert client.config_get("appendonly") == {"appendonly": "yes"}
    client.close()
    let_go(guest)
    assert answers(database_url, redis_url) == (True, True)  # a guest's end ends nothing
    let_go(owner)
    assert answers(database_url, redis_url) == (False, False)

    again, (database_url, redis_url, _) = hold(folder)
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)
    client = redis.Redis.from_url(redis_url)
    assert client.get("kept") == b"yes"
    client.close()
    let_go(again)


def test_a_first_start_that_was_broken_off_is_begun_anew(folder: Path) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    until_made(folder / "postgres" / "base")
    owner.send_signal(signal.SIGINT)
    owner.communicate(timeout=60)
    assert not (folder / "postgres" / "postmaster.pid").exists()
    heir, (database_url, redis_url, _) = hold(folder)
    assert answers(database_url, redis_url) == (True, True)
    let_go(heir)


def test_servers_of_an_owner_that_was_killed_are_taken_over(folder: Path) -> None:
    owner, (database_url, redis_url, _) = hold(folder)
    owner.send_signal(signal.SIGKILL)
    owner.wait(30)
    for pipe in (owner.stdin, owner.stdout):
        assert pipe is not None
        pipe.close()
    heir, (same_database, same_redis, owned) = hold(folder)
    assert owned == "True"
    assert (same_database, same_redis) == (database_url, redis_url)
    assert answers(database_url, redis_url) == (True, True)
    let_go(heir)
    assert answers(database_url, redis_url) == (False, False)


def test_redis_comes_back_with_its_data_after_a_kill(folder: Path) -> None:
    server = EmbeddedRedis(folder / "redis")
    client = redis.Redis.from_url(server.start())
    pid = int(client.info("server")["process_id"])
    client.set("kept", "yes")
    while client.info("persistence")["aof_pending_bio_fsync"]:
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    client.close()
    assert server._process is not None
    assert server._process.wait(30) == -signal.SIGKILL
    client = redis.Redis.from_url(server.start())
    assert client.get("kept") == b"yes"
    client.close()
    server.stop()
    assert not Path(f"/proc/{pid}").exists()


def test_redis_asks_for_a_password_that_only_the_owner_can_read(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path / "redis")
    client = redis.Redis.from_url(server.start())
    pid = int(client.info("server")["process_id"])
    client.close()
    with redis.Redis(unix_socket_path=str(server.socket)) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()
    password = tmp_path / "redis" / "password"
    assert password.stat().st_mode & 0o777 == 0o600
    assert password.parent == server.socket.parent.parent  # containers mount the socket's folder only
    assert password.read_text() not in Path(f"/proc/{pid}/cmdline").read_text()
    server.stop()


def test_a_server_that_an_earlier_version_left_without_a_password_gets_one(tmp_path: Path) -> None:
    old = EmbeddedRedis(tmp_path / "redis")
    with redis.Redis.from_url(old.start()) as client:
        client.config_set("requirepass", "")
    new = EmbeddedRedis(tmp_path / "redis")
    with redis.Redis.from_url(new.start()) as client:
        assert client.info("server")["process_id"] == old._process.pid  # type: ignore[union-attr]
    with redis.Redis(unix_socket_path=str(new.socket)) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()
    with redis.Redis.from_url(new.url) as client:
        client.config_set("requirepass", "somebody else's")
    with pytest.raises(RedisDidNotStart, match="another password"):
        EmbeddedRedis(tmp_path / "redis").start()
    with redis.Redis(unix_socket_path=str(new.socket), password="somebody else's") as client:
        client.config_set("requirepass", (tmp_path / "redis" / "password").read_text())
    old.stop()


def test_servers_that_were_killed_are_started_again_on_their_data(folder: Path) -> None:
    stack = EmbeddedStack(folder)
    database_url, redis_url = stack.start()
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (x int)")
    assert stack.tend() == []
    client = redis.Redis.from_url(redis_url)
    os.kill(int(client.info("server")["process_id"]), signal.SIGKILL)
    client.close()
    os.kill(int((folder / "postgres" / "postmaster.pid").read_text().splitlines()[0]), signal.SIGKILL)
    tended: set[str] = set()
    deadline = time.monotonic() + 90
    while tended != {"redis", "postgres"} and time.monotonic() < deadline:
        tended |= set(stack.tend())
        time.sleep(0.02)
    assert tended == {"redis", "postgres"}
    assert answers(database_url, redis_url) == (True, True)
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)
    stack.stop()


def test_a_server_that_is_paused_is_not_started_twice(folder: Path) -> None:
    server = EmbeddedRedis(folder / "redis")
    server.start()
    assert server._process is not None
    server._process.send_signal(signal.SIGSTOP)
    try:
        assert not server.tend()
    finally:
        server._process.send_signal(signal.SIGCONT)
    server.stop()
