"""Calls to a real server: what arrives, what is followed, and what is cut off."""

from __future__ import annotations

import asyncio
import gzip
import uuid
import zlib
from collections.abc import AsyncIterator, Sequence

import httpx2
import pytest

from outbound.client import Outbound
from outbound.failures import (
    AddressRefused,
    ConnectionFailed,
    ConnectionLost,
    InvalidRequest,
    InvalidTarget,
    NameNotResolved,
    OutboundError,
    RateLimited,
    RedirectRefused,
    RequestTooLarge,
    ResponseTooLarge,
    TimedOut,
    UndecodableResponse,
)
from outbound.limits import Limits
from outbound.policy import Policy
from outbound.redirects import after
from outbound.requests import Request
from tests.outbound.site import Site, plain, site

TENANT = uuid.uuid4()
PATIENT = Limits(total_s=30)
LOOPBACK = Policy.parse("127.0.0.1/32")
SECRETS = {"authorization": "Bearer s3cret", "x-api-key": "s3cret", "cookie": "s=s3cret", "accept": "application/json"}


class Names:
    """The test's own resolver: each name has a list of answers, given one after the other, the last one for ever."""

    def __init__(self, **names: Sequence[Sequence[str]]) -> None:
        self.answers = {name.replace("_", "."): list(answers) for name, answers in names.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        answers = self.answers.get(host)
        if not answers:
            raise OSError(host)
        return answers.pop(0) if len(answers) > 1 else answers[0]


@pytest.fixture
async def here() -> AsyncIterator[Site]:
    async with site() as server:
        yield server


async def fetch(
    url: str,
    *,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    content: bytes = b"",
    policy: Policy = LOOPBACK,
    names: Names | None = None,
    limits: Limits = PATIENT,
):
    async with Outbound(policy, resolver=names or Names()) as outbound:
        request = Request(method=method, url=url, headers=headers or {}, content=content)
        return await outbound.fetch(request, tenant=TENANT, limits=limits)


async def refused(error: type[OutboundError], url: str, **how) -> OutboundError:
    with pytest.raises(OutboundError) as caught:
        await fetch(url, **how)
    assert type(caught.value) is error, caught.value
    assert "s3cret" not in str(caught.value)
    return caught.value


async def test_a_call_arrives_as_it_was_said(here: Site) -> None:
    here.answers["/a?b=c"] = plain("201 Created", b"made", x_id="7")
    answer = await fetch(here.url("/a?b=c"), method="POST", headers=SECRETS, content=b"body")
    assert (answer.status, answer.body, answer.headers["x-id"], answer.cut) == (201, b"made", "7", False)
    (asked,) = here.asked
    assert (asked.method, asked.path, asked.body) == ("POST", "/a?b=c", b"body")
    assert SECRETS.items() <= asked.headers.items()
    assert asked.headers["host"] == f"127.0.0.1:{here.port}"


async def test_nothing_is_allowed_unless_it_is_said(here: Site) -> None:
    error = await refused(AddressRefused, here.url(), policy=Policy())
    assert error.sent is False
    assert here.connections == 0


@pytest.mark.parametrize(
    "answers",
    [
        ["127.0.0.1"],
        ["10.0.0.7"],
        ["169.254.169.254"],
        ["::1"],
        ["fe80::1%lo"],
        ["::ffff:127.0.0.1"],
        ["64:ff9b::7f00:1"],
        ["1.1.1.1", "127.0.0.1"],  # one bad address is enough
    ],
)
async def test_a_name_for_an_address_that_is_not_public_is_refused(here: Site, answers: list[str]) -> None:
    names = Names(tool_example=[answers])
    error = await refused(AddressRefused, here.url(host="tool.example"), policy=Policy(), names=names)
    assert str(error).startswith("tool.example ")
    assert not any(answer in str(error) for answer in answers)
    assert here.connections == 0


async def test_a_name_is_asked_once_and_its_checked_address_is_called(here: Site) -> None:
    """A DNS that changes its answer after the check gains nothing."""
    here.answers["/"] = plain(body=b"the checked one")
    names = Names(tool_example=[["127.0.0.1"], ["10.0.0.7"]])
    answer = await fetch(here.url(host="tool.example"), names=names)
    assert answer.body == b"the checked one"
    assert names.asked == ["tool.example"]
    assert here.asked[0].headers["host"] == f"tool.example:{here.port}"


async def test_a_name_that_turns_bad_is_refused_at_its_next_connection(here: Site) -> None:
    here.answers["/"] = plain(body=b"fine", connection="close")
    names = Names(tool_example=[["127.0.0.1"], ["10.0.0.7"]])
    async with Outbound(LOOPBACK, resolver=names) as outbound:
        request = Request(method="GET", url=here.url(host="tool.example"))
        await outbound.fetch(request, tenant=TENANT)
        with pytest.raises(AddressRefused):
            await outbound.fetch(request, tenant=TENANT)


async def test_the_next_address_is_tried_if_one_does_not_answer(here: Site) -> None:
    here.answers["/"] = plain(body=b"second")
    policy = Policy.parse("127.0.0.0/8")
    names = Names(tool_example=[["127.9.9.9", "127.0.0.1"]])
    assert (await fetch(here.url(host="tool.example"), names=names, policy=policy)).body == b"second"


async def test_a_name_without_an_address_is_said(here: Site) -> None:
    assert (await refused(NameNotResolved, here.url(host="nowhere.example"))).sent is False


async def test_nobody_at_the_port_is_said(unused_tcp_port: int) -> None:
    assert (await refused(ConnectionFailed, f"http://127.0.0.1:{unused_tcp_port}/")).sent is False


async def test_a_redirect_is_checked_as_a_call_of_its_own(here: Site) -> None:
    for location in (
        "http://10.0.0.1/",
        "http://2130706433/",
        "http://inside.example/",
        "http://u:p@127.0.0.1/",
        "ftp://x/",
    ):
        here.answers["/"] = plain("302 Found", location=location)
        names = Names(inside_example=[["10.0.0.1"]])
        with pytest.raises((AddressRefused, InvalidTarget)) as caught:
            await fetch(here.url(), names=names)
        assert caught.value.sent is True  # the first hop was


async def test_a_redirect_within_the_origin_keeps_its_headers(here: Site) -> None:
    here.answers |= {"/a": plain("307 Temporary Redirect", location="/b?x=1"), "/b?x=1": plain(body=b"there")}
    answer = await fetch(here.url("/a"), method="POST", headers=SECRETS, content=b"body")
    assert (answer.body, answer.url) == (b"there", here.url("/b?x=1"))
    assert (here.asked[1].method, here.asked[1].body) == ("POST", b"body")
    assert SECRETS.items() <= here.asked[1].headers.items()


@pytest.mark.parametrize("other", ["port", "name"])
async def test_no_secret_goes_to_another_origin(here: Site, other: str) -> None:
    async with site() as there:
        target = there.url("/b") if other == "port" else here.url("/b", host="other.example")
        here.answers["/a"] = plain("307 Temporary Redirect", location=target)
        here.answers["/b"] = there.answers["/b"] = plain(body=b"there")
        answer = await fetch(here.url("/a"), headers=SECRETS, names=Names(other_example=[["127.0.0.1"]]))
        assert answer.body == b"there"
        asked = (there.asked or here.asked[1:])[0]
        assert "s3cret" not in str(asked)
        assert asked.headers["accept"] == "application/json"


async def test_a_redirect_from_https_to_http_is_refused() -> None:
    with pytest.raises(RedirectRefused, match="https to http"):
        after(
            status=301,
            location="http://a.example/",
            method="GET",
            url=httpx2.URL("https://a.example/"),
            headers=(),
            content=b"",
        )


@pytest.mark.parametrize(
    ("status", "method", "then"),
    [
        (301, "POST", "GET"),
        (302, "POST", "GET"),
        (303, "POST", "GET"),
        (307, "POST", "POST"),
        (308, "POST", "POST"),
        (301, "PUT", "PUT"),
        (302, "DELETE", "DELETE"),
        (303, "PUT", "GET"),
        (303, "HEAD", "HEAD"),
        (302, "HEAD", "HEAD"),
    ],
)
async def test_a_redirect_asks_with_the_method_of_rfc_9110(here: Site, status: int, method: str, then: str) -> None:
    here.answers |= {"/a": f"HTTP/1.1 {status} x\r\nlocation: /b\r\ncontent-length: 0\r\n\r\n".encode(), "/b": plain()}
    content = b"" if method == "HEAD" else b"body"
    await fetch(here.url("/a"), method=method, content=content, headers={"content-type": "text/plain"})
    assert here.asked[1].method == then
    assert (here.asked[1].body, "content-type" in here.asked[1].headers) == (
        (content, True) if then == method else (b"", False)
    )


async def test_redirects_are_followed_so_many_times(here: Site) -> None:
    here.answers |= {f"/{n}": plain("302 Found", location=f"/{n + 1}") for n in range(4)} | {"/4": plain(body=b"end")}
    assert (await fetch(here.url("/1"))).body == b"end"
    await refused(RedirectRefused, here.url("/0"))
    here.answers["/loop"] = plain("302 Found", location="/loop")
    await refused(RedirectRefused, here.url("/loop"))


async def test_a_redirect_without_a_location_is_an_answer(here: Site) -> None:
    here.answers["/"] = plain("302 Found", body=b"look elsewhere")
    assert (await fetch(here.url())).status == 302


async def test_what_is_too_large_is_not_sent(here: Site) -> None:
    limits = Limits(request_bytes=10)
    error = await refused(RequestTooLarge, here.url(), method="POST", content=b"x" * 11, limits=limits)
    assert (error.sent, here.connections) == (False, 0)


async def test_an_answer_is_read_to_its_limit(here: Site) -> None:
    here.answers["/"] = plain(body=b"x" * 1000)
    assert len((await fetch(here.url(), limits=Limits(response_bytes=1000))).body) == 1000
    assert (await refused(ResponseTooLarge, here.url(), limits=Limits(response_bytes=999))).sent is True
    cut = await fetch(here.url(), limits=Limits(response_bytes=999, cut=True))
    assert (len(cut.body), cut.cut) == (999, True)


async def test_an_answer_without_an_end_is_cut_off_at_the_limit(here: Site) -> None:
    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    here.answers["/"] = endless
    await refused(ResponseTooLarge, here.url(), limits=Limits(total_s=30, response_bytes=1_000_000))


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "gzip, gzip"])
async def test_a_bomb_ends_at_the_limit(here: Site, encoding: str) -> None:
    pack = zlib.compress if encoding == "deflate" else gzip.compress
    bomb = pack(b"\0" * 20_000_000)
    if encoding == "gzip, gzip":
        bomb = gzip.compress(bomb)
    here.answers["/"] = plain(body=bomb, content_encoding=encoding)
    error = await refused(ResponseTooLarge, here.url(), limits=Limits(response_bytes=100_000))
    assert "100000 bytes" in str(error)


async def test_a_compressed_answer_is_read(here: Site) -> None:
    here.answers["/"] = plain(body=gzip.compress(b"text" * 100), content_encoding="gzip")
    assert (await fetch(here.url())).body == b"text" * 100


async def test_an_answer_that_is_not_what_it_says_is_refused(here: Site) -> None:
    here.answers["/"] = plain(body=b"not gzip at all", content_encoding="gzip")
    await refused(UndecodableResponse, here.url())


async def test_the_seconds_are_of_the_whole_call(here: Site) -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    here.answers["/"] = drip
    assert (await refused(TimedOut, here.url(), limits=Limits(total_s=2.0))).sent is True


async def test_a_resolver_that_is_silent_counts_in_the_seconds() -> None:
    async def silent(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    async with Outbound(LOOPBACK, resolver=silent) as outbound:
        with pytest.raises(TimedOut) as caught:
            await outbound.fetch(
                Request(method="GET", url="http://a.example/"), tenant=TENANT, limits=Limits(total_s=0.2)
            )
    assert caught.value.sent is False


async def test_a_broken_answer_is_said(here: Site) -> None:
    async def hang_up(writer: asyncio.StreamWriter) -> None:
        writer.close()

    here.answers |= {"/": hang_up, "/noise": b"this is not HTTP\r\n\r\n"}
    assert (await refused(ConnectionLost, here.url())).sent is True
    assert (await refused(ConnectionLost, here.url("/noise"))).sent is True


@pytest.mark.parametrize(
    ("headers", "names"),
    [
        ({"Host": "internal"}, "Host"),
        ({"Transfer-Encoding": "chunked"}, "Transfer-Encoding"),
        ({"X-A": "s3cret\r\nX-B: 1"}, "X-A"),
        ({"X A": "s3cret"}, "X A"),
    ],
)
async def test_a_header_that_may_not_be_set_is_named(here: Site, headers: dict[str, str], names: str) -> None:
    error = await refused(InvalidRequest, here.url(), headers=headers)
    assert names in str(error)
    assert here.connections == 0


async def test_a_method_that_is_none_is_refused(here: Site) -> None:
    await refused(InvalidRequest, here.url(), method="CONNECT")


async def test_no_proxy_and_no_cookie_is_taken_from_elsewhere(here: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    here.answers["/"] = plain(body=b"straight", set_cookie="a=b")
    async with Outbound(LOOPBACK, resolver=Names()) as outbound:
        for _ in range(2):
            assert (await outbound.fetch(Request(method="GET", url=here.url()), tenant=TENANT)).body == b"straight"
        async with outbound.http_client(tenant=TENANT) as client:
            assert (await client.get(here.url())).content == b"straight"
    assert all("cookie" not in asked.headers for asked in here.asked)


async def test_a_tenant_calls_a_host_so_often_and_others_are_not_held_up(here: Site) -> None:
    here.answers["/"] = plain()
    async with Outbound(LOOPBACK, resolver=Names(other_example=[["127.0.0.1"]]), calls_per_minute=2) as outbound:
        request = Request(method="GET", url=here.url())
        for _ in range(2):
            await outbound.fetch(request, tenant=TENANT)
        with pytest.raises(RateLimited) as caught:
            await outbound.fetch(request, tenant=TENANT)
        assert 0 < caught.value.retry_after_s <= 30
        assert caught.value.sent is False
        assert (await outbound.fetch(request, tenant=uuid.uuid4())).status == 200
        other = Request(method="GET", url=here.url(host="other.example"))
        assert (await outbound.fetch(other, tenant=TENANT)).status == 200


def test_a_request_shows_no_secret() -> None:
    request = Request(method="GET", url="https://a.example/?key=s3cret", headers=SECRETS, content=b"s3cret")
    assert "s3cret" not in repr(request)
