"""TLS: the certificate is the name's, whatever address it was pinned to."""

from __future__ import annotations

import datetime as dt
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from outbound.client import Outbound
from outbound.failures import ConnectionFailed
from outbound.requests import Request
from tests.outbound.site import plain, site
from tests.outbound.test_client import LOOPBACK, TENANT, Names

NAMES = Names(tool_example=[["127.0.0.1"]], other_example=[["127.0.0.1"]])


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of its own authority, for tool.example, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "the test's authority")])
    now = dt.datetime.now(dt.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("tool.example")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    return path


async def test_the_name_is_verified_and_told_to_the_server(certificate: Path) -> None:
    server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server_side.load_cert_chain(certificate)
    told: list[str | None] = []
    server_side.sni_callback = lambda _socket, name, _context: told.append(name)
    trusting = ssl.create_default_context(cafile=certificate)
    async with site(server_side) as here:
        here.answers["/"] = plain(body=b"secure")
        good = Request(method="GET", url=here.url(host="tool.example", scheme="https"))
        bad = Request(method="GET", url=here.url(host="other.example", scheme="https"))
        async with Outbound(LOOPBACK, resolver=NAMES, tls=trusting) as outbound:
            assert (await outbound.fetch(good, tenant=TENANT)).body == b"secure"
            assert told == ["tool.example"]
            with pytest.raises(ConnectionFailed, match=r"other\.example.*certificate") as caught:
                await outbound.fetch(bad, tenant=TENANT)
            assert caught.value.sent is False
        async with Outbound(LOOPBACK, resolver=NAMES) as outbound:
            with pytest.raises(ConnectionFailed):
                await outbound.fetch(good, tenant=TENANT)
    assert len(here.asked) == 1
