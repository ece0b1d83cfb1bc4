"""The library's own client through the same guard, as MCP uses it."""

from __future__ import annotations

import gzip

import pytest

from outbound.client import Outbound
from outbound.failures import AddressRefused, RateLimited, ResponseTooLarge, UndecodableResponse
from outbound.policy import Policy
from tests.outbound.site import plain, site
from tests.outbound.test_client import LOOPBACK, TENANT, Names


async def test_its_requests_are_checked_and_its_redirects_too() -> None:
    async with site() as here, Outbound(LOOPBACK, resolver=Names(inside_example=[["10.0.0.1"]])) as outbound:
        here.answers |= {
            "/": plain(body=b"ok"),
            "/away": plain("307 Temporary Redirect", location="http://inside.example/"),
        }
        async with outbound.http_client(tenant=TENANT, headers={"authorization": "Bearer t"}) as client:
            assert (await client.get(here.url())).content == b"ok"
            assert here.asked[0].headers["authorization"] == "Bearer t"
            assert (await client.get(here.url("/away"))).status_code == 307  # followed by nobody unless asked
            with pytest.raises(AddressRefused):
                await client.get(here.url("/away"), follow_redirects=True)
            with pytest.raises(AddressRefused):
                await client.get("http://inside.example/")


async def test_its_answers_and_its_calls_are_bounded() -> None:
    async with site() as here, Outbound(LOOPBACK, resolver=Names(), calls_per_minute=4) as outbound:
        here.answers |= {
            "/": plain(body=b"x" * 100),
            "/more": plain(body=b"x" * 101),
            "/bomb": plain(body=gzip.compress(b"\0" * 100_000), content_encoding="gzip"),
        }
        async with outbound.http_client(tenant=TENANT, response_bytes=100) as client:
            assert len((await client.get(here.url())).content) == 100
            assert here.asked[0].headers["accept-encoding"] == "identity"
            with pytest.raises(ResponseTooLarge):
                await client.get(here.url("/more"))
            with pytest.raises(UndecodableResponse):
                await client.get(here.url("/bomb"))
            await client.get(here.url())
            with pytest.raises(RateLimited):
                await client.get(here.url())


async def test_nothing_is_allowed_unless_it_is_said() -> None:
    async with (
        site() as here,
        Outbound(Policy(), resolver=Names()) as outbound,
        outbound.http_client(tenant=TENANT) as client,
    ):
        with pytest.raises(AddressRefused):
            await client.get(here.url())
        assert here.connections == 0
