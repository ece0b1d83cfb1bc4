"""A Postgres that is cut off over TCP: an error within a bound, not hours of waiting."""

from __future__ import annotations

import math
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from agents.postgres import with_settings
from opsite.postgres import NOTICED_S, bounded
from tests.faces.conftest import await_ready, free_port, until
from tests.scene import Scene

pytestmark = pytest.mark.timeout(120)
KEEPALIVE = "02"
"""The timer that asks, in /proc/net/tcp."""
ESTABLISHED = "01"
MORE_THAN_BUFFERS_HOLD = 32_000_000
SLACK_S = 20.0
"""What a busy machine may need beyond the bound; without one it would be minutes."""


class TcpRelay:
    """Postgres by TCP, which the embedded one does not serve. `frozen`: it takes and says nothing more, and hangs up on nobody."""

    def __init__(self, database_url: str) -> None:
        server = conninfo_to_dict(database_url)
        self._server = f"{server['host']}/.s.PGSQL.{server.get('port', 5432)}"
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self.url = f"postgresql://{server['user']}@127.0.0.1:{self.port}/{server['dbname']}"
        self.frozen, self._ended = threading.Event(), threading.Event()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while not self._ended.is_set():
            if select.select([self._listening], [], [], 0.1)[0]:
                self._threads.append(threading.Thread(target=self._pass_on, args=[self._listening.accept()[0]]))
                self._threads[-1].start()

    def _pass_on(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server:
            server.connect(self._server)
            other = {client: server, server: client}
            while not self._ended.is_set():
                if self.frozen.is_set():
                    self._ended.wait(0.1)
                    continue
                for end in select.select([client, server], [], [], 0.1)[0]:
                    try:
                        data = end.recv(65536)
                        other[end].sendall(data)
                    except OSError:
                        return
                    if not data:
                        return

    def close(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()
        self._listening.close()

    def asks_in_s(self, pid: int) -> list[float]:
        """Of each connection of that process to here, in how many seconds the kernel asks whether the other end is there.

        Infinity while another timer runs, because data is on its way.
        """
        open_files = set()
        for file in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed meanwhile
                open_files.add(str(file.readlink()))
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        here = [row for row in rows if row[2].endswith(f":{self.port:04X}") and row[3] == ESTABLISHED]
        timers = [row[5].split(":") for row in here if f"socket:[{row[9]}]" in open_files]
        return [int(ticks, 16) / os.sysconf("SC_CLK_TCK") if kind == KEEPALIVE else math.inf for kind, ticks in timers]


@pytest.fixture
def relay(database_url: str) -> Iterator[TcpRelay]:
    relay = TcpRelay(database_url)
    yield relay
    relay.close()


def test_what_the_address_says_itself_stands() -> None:
    given = "postgresql://me:p%2Fw@db:5432/opsite?tcp_user_timeout=9000&options=-c%20jit%3Doff"
    parameters = conninfo_to_dict(bounded(given))
    assert (parameters["password"], parameters["host"], parameters["dbname"]) == ("p/w", "db", "opsite")
    assert (parameters["tcp_user_timeout"], parameters["options"]) == ("9000", "-c jit=off")
    assert (parameters["keepalives_idle"], parameters["connect_timeout"]) == ("5", "5")
    assert bounded(bounded(given)) == bounded(given)
    assert "-c tcp_keepalives_idle=5 -c" in conninfo_to_dict(bounded("postgresql://db/opsite"))["options"]


def test_a_session_has_its_own_settings_beside_the_address_s() -> None:
    options = conninfo_to_dict(with_settings(bounded("postgresql://db/opsite"), jit="off"))["options"]
    assert options == f"{conninfo_to_dict(bounded('postgresql://db/opsite'))['options']} -c jit=off"
    assert conninfo_to_dict(with_settings("postgresql://db/opsite", jit="off"))["options"] == "-c jit=off"


def test_who_waits_on_a_frozen_postgres_has_an_error(relay: TcpRelay) -> None:
    with psycopg.connect(bounded(relay.url), autocommit=True) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
        relay.frozen.set()
        since = time.monotonic()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT length(%s)", ["x" * MORE_THAN_BUFFERS_HOLD])
        assert time.monotonic() - since < NOTICED_S + SLACK_S


def test_who_calls_a_frozen_postgres_has_an_error(relay: TcpRelay) -> None:
    relay.frozen.set()
    since = time.monotonic()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(bounded(relay.url))
    assert time.monotonic() - since < NOTICED_S + SLACK_S


async def test_every_connection_of_every_process_asks(
    relay: TcpRelay, live_scene: Scene, start: Callable[..., Any]
) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    web = start("serve", "--port", str(port), DATABASE_URL=relay.url)
    recorder, orchestrator = (start(command, DATABASE_URL=relay.url) for command in ("record", "orchestrate"))
    await_ready(url, web)
    async with httpx.AsyncClient(timeout=30) as client:
        assert (await client.get(f"{url}/api/v1/agents", headers=live_scene.ann.headers)).status_code == 200
    # The pool's, the one that hears of changes, and Django's; a pool's records; Django's, and the leader's lock.
    for process, count in ((web, 3), (recorder, 1), (orchestrator, 2)):

        def all_ask(pid: int = process.pid, count: int = count) -> bool:
            asks_in_s = relay.asks_in_s(pid)
            return len(asks_in_s) >= count and max(asks_in_s) <= NOTICED_S

        await until(all_ask)
