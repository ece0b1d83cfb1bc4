"""The whole service in one command: what `manage.py up` and `manage.py demo` start, and how it ends."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command

from opsite.supervisor import Supervisor

READY_TIMEOUT_S = 60.0
TEND_EVERY_S = 0.5
CELERY = ("-W", "ignore", "-m", "celery", "--quiet", "-A", "opsite", "worker", "--beat", "--loglevel", "WARNING")
"""Its banner, and its warning of root, say nothing that the reader of a terminal could use."""


class PortTaken(RuntimeError):
    """Another program listens on the console's port."""


class NotReady(RuntimeError):
    """The web process did not come up in time."""


def prepare(say: Callable[[str], None]) -> None:
    """Migrate, and make the account `admin` if there is no staff yet; its password is said once."""
    call_command("migrate", verbosity=0)
    user_model = get_user_model()
    if not user_model.objects.filter(is_staff=True).exists():
        password = secrets.token_urlsafe(12)
        user_model.objects.create_superuser("admin", "", password)
        say(f"console account made: user admin, password {password} (shown this once)")


class Service:
    """Web, orchestrator, recorder, effects and celery under one supervisor."""

    def __init__(self, *, host: str, port: int, say: Callable[[str], None], celery: bool = True) -> None:
        self.host, self.port, self._say = host, port, say
        _check_port(host, port)
        manage = [sys.executable, str(settings.BASE_DIR / "manage.py")]
        plain = settings.OPSITE_LOG_FORMAT == "plain"  # a line in JSON says itself whose it is
        self._supervisor = Supervisor(env=dict(os.environ), say=say, names=plain)
        commands = {
            "web": ["serve", "--host", host, "--port", str(port)],
            "orchestrator": ["orchestrate"],
            "recorder": ["record"],
            "effects": ["effects"],
        }
        commands = {name: [*manage, *command] for name, command in commands.items()}
        if celery:
            commands["celery"] = [sys.executable, *CELERY]
        first = settings.OPSITE_METRICS_PORT
        for number, (name, command) in enumerate(commands.items()):
            own = {"OPSITE_METRICS_PORT": str(first + number if first else 0)}
            # Celery logs to its standard error; on the other stand its words on a signal, past all logging.
            self._supervisor.add(name, command, env=own, errors_only=name == "celery")

    @property
    def url(self) -> str:
        """Where it is served."""
        return f"http://{self.host}:{self.port}"

    @property
    def processes(self) -> list[str]:
        """What runs, by name, in the order of their ports for metrics."""
        return self._supervisor.names

    def stop(self) -> None:
        """Ask for the end."""
        self._supervisor.stop()

    def stop_on_signals(self) -> None:
        """SIGTERM and Ctrl-C end the service."""

        def handler(number: int, frame: FrameType | None) -> None:
            self.stop()

        signal.signal(signal.SIGTERM, handler)
        signal.signal(signal.SIGINT, handler)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Ctrl-C meanwhile raises `KeyboardInterrupt`, at the end at the latest: where the interpreter calls code by itself, as of
        finalizers, it is passed over.
        """
        interrupted = False

        def handler(number: int, frame: FrameType | None) -> None:
            nonlocal interrupted
            interrupted = True
            raise KeyboardInterrupt

        before = signal.signal(signal.SIGINT, handler)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)
        if interrupted:
            raise KeyboardInterrupt

    def run(self) -> None:
        """Run until `stop`; then end the children, and after them the fleet."""
        from orchestrator.services import stop_fleet

        over = threading.Event()
        keeper = threading.Thread(target=self._keep_servers, args=(over,), name="keeper")
        keeper.start()
        try:
            self._supervisor.run()
        finally:
            over.set()
            keeper.join()
            stop_fleet()

    def _keep_servers(self, over: threading.Event) -> None:
        """The embedded servers are nobody's children: who started them looks after them."""
        while settings.EMBEDDED_STACK is not None and not over.wait(TEND_EVERY_S):
            try:
                for server in settings.EMBEDDED_STACK.tend():
                    self._say(f"{server} had died and was started again")
            except Exception as error:
                self._say(f"an embedded server does not start, trying again: {error}")

    def run_beside(self) -> threading.Thread:
        """`run` on a thread of its own, for a command that does something meanwhile."""
        thread = threading.Thread(target=self.run, name="supervisor")
        thread.start()
        return thread

    def wait_ready(self) -> None:
        """Return when the web process answers that it is ready."""
        deadline = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"{self.url}/readyz", timeout=2):  # noqa: S310 - our own http address
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise NotReady(f"the web process at {self.url} was not ready in {READY_TIMEOUT_S:g} s; see its lines above")


def _check_port(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PortTaken(
                f"port {port} of {host} is taken ({error.strerror}): choose another, e.g. make up PORT={port + 1}"
            ) from None
