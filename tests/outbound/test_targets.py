"""Which URLs are called, before any name is resolved."""

from __future__ import annotations

import pytest

from outbound.failures import AddressRefused, InvalidTarget, OutboundError, PortRefused
from outbound.policy import Policy
from outbound.targets import checked

NOTHING_ALLOWED = Policy()

REFUSED: dict[str, type[OutboundError]] = {
    # schemes and shapes
    "ftp://example.com/": InvalidTarget,
    "file:///etc/passwd": InvalidTarget,
    "gopher://example.com/": InvalidTarget,
    "//example.com/": InvalidTarget,
    "example.com": InvalidTarget,
    "http://": InvalidTarget,
    "http:///path": InvalidTarget,
    "": InvalidTarget,
    "http://example.com/\r\nHost: internal": InvalidTarget,
    "http://exa mple.com/": InvalidTarget,
    # user names
    "http://user@example.com/": InvalidTarget,
    "http://user:password@example.com/": InvalidTarget,
    "http://example.com@127.0.0.1/": InvalidTarget,
    "http://127.0.0.1:80@example.com/": InvalidTarget,
    "http://example.com\\@127.0.0.1/": InvalidTarget,
    "http://127.0.0.1\\@example.com/": InvalidTarget,
    "http://127.0.0.1#@example.com/": AddressRefused,
    # spellings of 127.0.0.1
    "http://127.0.0.1/": AddressRefused,
    "http://127.0.0.1./": InvalidTarget,
    "http://127.1/": InvalidTarget,
    "http://127.0.1/": InvalidTarget,
    "http://2130706433/": InvalidTarget,
    "http://2130706433./": InvalidTarget,
    "http://0177.0.0.1/": InvalidTarget,
    "http://017700000001/": InvalidTarget,
    "http://0x7f000001/": InvalidTarget,
    "http://0x7F.0.0.1/": InvalidTarget,
    "http://0x7f.1/": InvalidTarget,
    "http://0x/": InvalidTarget,
    "http://00000127.0.0.1/": InvalidTarget,
    "http://127.0.0.1.example.0x1/": InvalidTarget,
    "http://%31%32%37.0.0.1/": InvalidTarget,
    "http://①②⑦.⓪.⓪.①/": InvalidTarget,
    "http://127。0。0。1/": AddressRefused,
    "http://１２７.0.0.1/": InvalidTarget,
    "http://0/": InvalidTarget,
    "http://[::1]/": AddressRefused,
    "http://[0:0:0:0:0:0:0:1]/": AddressRefused,
    "http://[::ffff:127.0.0.1]/": AddressRefused,
    "http://[::ffff:7f00:1]/": AddressRefused,
    "http://[::127.0.0.1]/": AddressRefused,
    "http://[64:ff9b::7f00:1]/": AddressRefused,
    "http://[fe80::1%25eth0]/": InvalidTarget,
    "http://[fe80::1%eth0]/": InvalidTarget,
    "http://[::1/": InvalidTarget,
    # others
    "http://169.254.169.254/latest/meta-data/": AddressRefused,
    "http://[fd00:ec2::254]/": AddressRefused,
    "http://10.0.0.1:8080/": AddressRefused,
    # ports
    "http://example.com:22/": PortRefused,
    "https://example.com:6379/": PortRefused,
    "http://example.com:0/": PortRefused,
    "http://example.com:65536/": PortRefused,
    "http://example.com:x/": InvalidTarget,
}


@pytest.mark.parametrize(("url", "error"), REFUSED.items())
def test_a_url_that_may_not_be_called_is_refused(url: str, error: type[OutboundError]) -> None:
    with pytest.raises(OutboundError) as refused:
        checked(url, policy=NOTHING_ALLOWED)
    assert type(refused.value) is error
    assert refused.value.sent is False
    assert "password" not in str(refused.value).replace("user name or password", "")


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://example.com", "example.com"),
        ("HTTPS://EXAMPLE.com:8443/a?b=c#d", "example.com"),
        ("http://example.com./", "example.com."),
        ("http://xn--bcher-kva.example/", "xn--bcher-kva.example"),
        ("http://bücher.example/", "xn--bcher-kva.example"),
        ("http://under_score.example/", "under_score.example"),
        ("http://1.1.1.1/", "1.1.1.1"),
        ("http://[2606:4700:4700::1111]:8080/", "2606:4700:4700::1111"),
        ("http://127.0.0.1.example.com/", "127.0.0.1.example.com"),
    ],
)
def test_a_url_that_may_be_called_keeps_its_host(url: str, host: str) -> None:
    assert checked(url, policy=NOTHING_ALLOWED).raw_host.decode() == host
