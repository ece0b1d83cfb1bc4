"""Which URLs may be called: their scheme, host and port, before any name is resolved. Pure.

The URL is parsed by the library that then connects, so that no two parsers can read two hosts in it.
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address, ip_address

import httpx2

from outbound.addresses import Address
from outbound.failures import AddressRefused, InvalidTarget, PortRefused
from outbound.policy import Policy

PORTS = {"http": 80, "https": 443}

_NAME = re.compile(
    r"(?=.{1,253}\.?$)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.?"
)
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


def checked(url: str | httpx2.URL, *, policy: Policy) -> httpx2.URL:
    """The URL, if it may be called as far as it says itself.

    A host that is an address is judged here; one that is a name, when it was resolved. Spellings of IPv4 addresses that only some
    programs understand (2130706433, 0177.0.0.1, 0x7f000001, 127.1) are refused, as the URL standard would read them as addresses
    and the resolver may. Raises InvalidTarget, PortRefused, AddressRefused.
    """
    try:
        parsed = httpx2.URL(url)
    except (httpx2.InvalidURL, TypeError) as error:
        raise InvalidTarget(f"The URL is not valid: {_cause(error)}") from None
    if parsed.scheme not in PORTS:
        raise InvalidTarget("The URL must begin with https:// or http://.")
    if parsed.userinfo:
        raise InvalidTarget("The URL must not hold a user name or password; send them in a header.")
    if not parsed.host:
        raise InvalidTarget("The URL names no host.")
    _check_host(parsed.raw_host.decode("ascii"), policy=policy)
    port = parsed.port or PORTS[parsed.scheme]
    if port in policy.denied_ports or not 0 < port < 65536 or parsed.port == 0:
        raise PortRefused(f"Port {parsed.port if parsed.port is not None else port} may not be called.")
    return parsed


def literal(host: str) -> Address | None:
    """The address that the host is, or None if it is a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def _check_host(host: str, *, policy: Policy) -> None:
    address = literal(host)
    if address is not None:
        if isinstance(address, IPv6Address) and address.scope_id is not None:
            raise InvalidTarget("The URL's address must not name a zone.")
        if why := policy.refusal(address):
            raise AddressRefused(host, why=why)
        return
    if not _NAME.fullmatch(host):
        raise InvalidTarget("The URL's host is not a name as DNS knows them.")
    if _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):
        raise InvalidTarget("The URL's host is a number; write an address as 192.0.2.1, four decimal numbers.")


def _cause(error: Exception) -> str:
    # The library's sentences may quote the URL, and a URL may hold a secret.
    return "it is too long" if "too long" in str(error) else "it has a part that no URL may have"
