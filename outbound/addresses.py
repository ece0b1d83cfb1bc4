"""Which addresses are not public, and why. Pure; the table is IANA's, and what clouds put outside of it.

Sources: the IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890 and its updates). `ipaddress.is_global` alone is not
enough: it follows the Python version, and takes an IPv4 address that travels inside an IPv6 address for an ordinary one.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NOT_PUBLIC: tuple[tuple[str, str], ...] = (
    # More exact before less exact: the first that holds names the reason.
    ("169.254.169.254/32", "metadata"),
    ("100.100.100.200/32", "metadata"),  # Alibaba Cloud
    ("168.63.129.16/32", "metadata"),  # Azure's host, at an address that looks public
    ("192.0.0.192/32", "metadata"),  # Oracle Cloud
    ("0.0.0.0/32", "unspecified"),
    ("0.0.0.0/8", "this network"),
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "carrier-grade NAT"),
    ("127.0.0.0/8", "loopback"),
    ("169.254.0.0/16", "link-local"),
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/24", "protocol assignments"),
    ("192.0.2.0/24", "documentation"),
    ("192.88.99.0/24", "6to4 relay"),
    ("192.168.0.0/16", "private"),
    ("198.18.0.0/15", "benchmarking"),
    ("198.51.100.0/24", "documentation"),
    ("203.0.113.0/24", "documentation"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved"),
    ("fd00:ec2::254/128", "metadata"),  # AWS
    ("fd20:ce::254/128", "metadata"),  # Google Cloud
    ("::/128", "unspecified"),
    ("::1/128", "loopback"),
    ("::/96", "IPv4-compatible"),
    ("::ffff:0:0/96", "IPv4-mapped"),
    ("::ffff:0:0:0/96", "IPv4-translated"),
    ("64:ff9b:1::/48", "local NAT64"),
    ("100::/64", "discard-only"),
    ("2001::/32", "Teredo"),
    ("2001::/23", "protocol assignments"),
    ("2001:db8::/32", "documentation"),
    ("2002::/16", "6to4"),
    ("3fff::/20", "documentation"),
    ("fc00::/7", "unique-local"),
    ("fe80::/10", "link-local"),
    ("fec0::/10", "site-local"),
    ("ff00::/8", "multicast"),
)
NOT_PUBLIC: tuple[tuple[Network, str], ...] = tuple((ip_network(network), why) for network, why in _NOT_PUBLIC)

_NAT64 = IPv6Network("64:ff9b::/96")
_GLOBAL_UNICAST = IPv6Network("2000::/3")


def refusal(address: Address) -> str | None:
    """Why nobody may be sent there, as a word of the table; None for a public address.

    An address of NAT64 (RFC 6052), by which a network without IPv4 reaches IPv4, is judged by the IPv4 address in it.
    """
    if isinstance(address, IPv6Address):
        if address in _NAT64:
            return refusal(IPv4Address(address.packed[-4:]))
        if address.scope_id is not None:
            return "link-local"
    for network, why in NOT_PUBLIC:
        if address.version == network.version and address in network:
            return why
    if isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST:
        return "reserved"
    return None if address.is_global else "reserved"
