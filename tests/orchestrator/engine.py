"""A declared stand-in for Docker's engine on this host that answers every request alike, or not at all."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def engine_that_says(answer: tuple[int, str] | None) -> Iterator[str]:
    """Its address. `answer`: status and JSON body; None: it takes every connection and is silent."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held: list[socket.socket] = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                held.append(connection)
                if answer is not None:
                    threading.Thread(target=_answer, args=(connection, *answer), daemon=True).start()

        threading.Thread(target=serve, name="engine", daemon=True).start()
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        for connection in held:
            connection.close()


def _answer(connection: socket.socket, status: int, body: str) -> None:
    """A client may ask for its version first: that is told, as by a real engine."""
    with connection, connection.makefile("rb") as asked:
        while line := asked.readline():
            path = line.split()[1]
            while asked.readline().strip():
                pass
            said, code = ('{"ApiVersion": "1.41"}', 200) if path.endswith(b"/version") else (body, status)
            if path.endswith(b"/_ping"):
                said, code = "OK", 200
            head = f"HTTP/1.1 {code} -\r\nContent-Type: application/json\r\nContent-Length: {len(said)}\r\n\r\n"
            connection.sendall((head + said).encode())
