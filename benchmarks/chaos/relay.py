"""A relay in front of a server's unix socket that can cut off any process: loudly (connections break) or in silence.

Who is connected is known by the kernel (SO_PEERCRED), so that one socket serves all processes and each can be cut off alone.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import cast

_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid


@dataclass(frozen=True, slots=True)
class Cut:
    """Which processes are cut off, and until when (monotonic)."""

    pids: frozenset[int]
    until: float
    silent: bool


class _End(asyncio.Protocol):
    """One side of a relayed connection."""

    def __init__(self, relay: Relay, other: _End | None = None) -> None:
        self.relay, self.other = relay, other
        self.transport: asyncio.Transport | None = None
        self.pid = 0
        self._early: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The client's side calls the server; until that answers, what it says is kept."""
        self.transport = cast("asyncio.Transport", transport)
        if self.other is None:
            peer = transport.get_extra_info("socket")
            raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            self.pid = _CREDENTIALS.unpack(raw)[0]
            self.relay.arrived(self)
        else:
            self.other.joined(self)

    def joined(self, server: _End) -> None:
        """The server's side stands."""
        self.other = server
        for data in self._early:
            server.write(data)
        self._early.clear()

    def data_received(self, data: bytes) -> None:
        """To the other side."""
        if self.other is None:
            self._early.append(data)
        else:
            self.other.write(data)

    def connection_lost(self, error: Exception | None) -> None:
        """Both sides end together."""
        self.relay.left(self)
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()

    def write(self, data: bytes) -> None:
        """Send, if there still is somebody."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def mute(self, *, muted: bool) -> None:
        """Neither side hears the other; nothing is lost."""
        for end in (self, self.other):
            if end is None or end.transport is None or end.transport.is_closing():
                continue
            if muted:
                end.transport.pause_reading()
            else:
                end.transport.resume_reading()


class Relay:
    """Listens at `here`, and passes on to the server at `there`."""

    def __init__(self, *, here: Path, there: Path) -> None:
        self.here, self.there = here, there
        self._clients: set[_End] = set()
        self._calls: set[asyncio.Task[None]] = set()
        self._cuts: list[Cut] = []
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen."""
        self.here.parent.mkdir(parents=True, exist_ok=True)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: _End(self), str(self.here), backlog=256)

    async def stop(self) -> None:
        """End all connections."""
        if self._server is not None:
            self._server.close()
        for client in list(self._clients):
            if client.transport is not None:
                client.transport.abort()

    async def cut(self, pids: Collection[int], *, for_s: float, silent: bool) -> None:
        """Cut these processes off, and let them in again after `for_s`."""
        cut = Cut(frozenset(pids), time.monotonic() + for_s, silent)
        self._cuts.append(cut)
        for client in [one for one in self._clients if one.pid in cut.pids]:
            self._apply(cut, client)
        await asyncio.sleep(for_s)
        self._cuts.remove(cut)
        if silent:
            for client in [one for one in self._clients if one.pid in cut.pids]:
                client.mute(muted=False)

    def arrived(self, client: _End) -> None:
        """A new connection."""
        self._clients.add(client)
        for cut in self._cuts:
            if client.pid in cut.pids:
                self._apply(cut, client)
                if not cut.silent:
                    return
        call = asyncio.ensure_future(self._call(client))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)

    def left(self, client: _End) -> None:
        """A connection ended."""
        self._clients.discard(client)

    async def _call(self, client: _End) -> None:
        try:
            loop = asyncio.get_running_loop()
            await loop.create_unix_connection(lambda: _End(self, client), str(self.there))
        except OSError:  # the server is dead: so is the connection
            if client.transport is not None:
                client.transport.abort()

    @staticmethod
    def _apply(cut: Cut, client: _End) -> None:
        if cut.silent:
            client.mute(muted=True)
        elif client.transport is not None:
            client.transport.abort()
