"""How connections are made: the name is resolved here, every address is checked, and one of these very addresses is connected to.

So a name whose answer changes between check and connection ("DNS rebinding") gains nothing: it is asked once.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import httpcore2

from outbound.addresses import Address
from outbound.failures import AddressRefused, ConnectionFailed, NameNotResolved
from outbound.policy import Policy
from outbound.targets import literal

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""From a name and a port to addresses, in the order of preference. OSError for a name that has none."""

SocketOptions = Iterable[tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]]

TRIED = 4
"""Addresses of a name that are tried, each for an equal part of the time. All are checked."""

_RESOLVERS = ThreadPoolExecutor(32, thread_name_prefix="resolver")
"""The loop's own executor has few threads: some names whose servers are silent would hold up all others."""


async def system_resolver(host: str, port: int) -> Sequence[str]:
    """What this host's resolver says."""
    ask = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    found = await asyncio.get_running_loop().run_in_executor(_RESOLVERS, ask)
    return [str(address[0]) for *_, address in found]


class GuardedNetwork(httpcore2.AsyncNetworkBackend):
    """A network backend that connects to addresses that the policy lets pass, and to nothing else."""

    def __init__(self, *, policy: Policy, resolver: Resolver) -> None:
        self._policy = policy
        self._resolver = resolver
        self._network = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's signature
        local_address: str | None = None,
        socket_options: SocketOptions | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """A connection to the first checked address that answers; name and addresses have `timeout` seconds together."""
        try:
            async with asyncio.timeout(timeout):
                addresses = (await self._addresses(host, port))[:TRIED]
                for address in addresses:
                    try:
                        return await self._network.connect_tcp(
                            str(address),
                            port,
                            timeout=None if timeout is None else timeout / len(addresses),
                            local_address=local_address,
                            socket_options=socket_options,
                        )
                    except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                        continue
        except TimeoutError:
            raise ConnectionFailed(f"{host} did not accept a connection in time.") from None
        raise ConnectionFailed(f"{host} did not accept a connection.")

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's signature
        socket_options: SocketOptions | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Never: no URL names one."""
        raise NotImplementedError

    async def sleep(self, seconds: float) -> None:
        """As the library asks."""
        await asyncio.sleep(seconds)

    async def _addresses(self, host: str, port: int) -> list[Address]:
        """All addresses of the host, each of them checked: one that may not be called refuses the whole host."""
        address = literal(host)
        addresses = [address] if address is not None else await self._resolved(host, port)
        for each in addresses:
            if why := self._policy.refusal(each):
                raise AddressRefused(host, why=why)
        return addresses

    async def _resolved(self, host: str, port: int) -> list[Address]:
        try:
            answers = [literal(answer) for answer in await self._resolver(host, port)]
        except (OSError, UnicodeError):
            answers = []
        addresses = list(dict.fromkeys(answer for answer in answers if answer is not None))
        if not addresses:
            raise NameNotResolved(f"{host} has no address. Check the URL's host.")
        return addresses
