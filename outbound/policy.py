"""What may be called at all, as a value. Pure."""

from __future__ import annotations

from ipaddress import ip_network

import msgspec

from outbound.addresses import Address, Network, refusal

_BAD_PORTS = (
    "1 7 9 11 13 15 17 19 20 21 22 23 25 37 42 43 53 69 77 79 87 95 101 102 103 104 109 110 111 113 115 117 119 123 "
    "135 137 139 143 161 179 389 427 465 512 513 514 515 526 530 531 532 540 548 554 556 563 587 601 636 989 990 993 "
    "995 1719 1720 1723 2049 3659 4045 4190 5060 5061 6000 6566 6665 6666 6667 6668 6669 6679 6697 10080"
)
_DATABASES_AND_CONTAINERS = "2375 2376 3306 5432 6379 11211 27017"
DENIED_PORTS = frozenset(int(port) for port in f"{_BAD_PORTS} {_DATABASES_AND_CONTAINERS}".split())
"""Ports where servers of other protocols may take an HTTP request for commands: the "bad ports" of the Fetch standard
(https://fetch.spec.whatwg.org/#port-blocking), and those of the usual databases and container engines."""


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """Where calls may go.

    `allow`: networks that are called although they are not public (`OPSITE_OUTBOUND_ALLOW`). A hole in the wall, which an operator
    makes for tool servers of its own: every tenant may then call all of it.
    """

    allow: tuple[Network, ...] = ()
    denied_ports: frozenset[int] = DENIED_PORTS

    @classmethod
    def parse(cls, allow: str) -> Policy:
        """From a list of networks, as `10.1.0.0/16, fd12::/32`. ValueError names the one that is none."""
        return cls(allow=tuple(_network(word) for word in allow.replace(",", " ").split()))

    def refusal(self, address: Address) -> str | None:
        """Why this address may not be called, or None."""
        if any(address.version == network.version and address in network for network in self.allow):
            return None
        return refusal(address)


def _network(word: str) -> Network:
    try:
        return ip_network(word)
    except ValueError as error:
        message = f"{word!r} is not a network; write it as 10.1.0.0/16 or 127.0.0.1/32 ({error})"
        raise ValueError(message) from None
