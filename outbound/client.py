"""The client: one call with its redirects, within its limits; and the same guard for a library that brings its own client."""

from __future__ import annotations

import asyncio
import ssl
import time
import uuid
from collections.abc import Mapping
from contextlib import aclosing
from types import TracebackType
from typing import Self

import httpcore2
import httpx2

from outbound.failures import (
    OutboundError,
    RedirectRefused,
    RequestTooLarge,
    ResponseTooLarge,
    TimedOut,
    UndecodableResponse,
)
from outbound.limits import DEFAULT, Limits
from outbound.network import Resolver, system_resolver
from outbound.policy import Policy
from outbound.rates import Rates
from outbound.redirects import REDIRECTS, after
from outbound.requests import Request, Response, checked_headers
from outbound.targets import checked
from outbound.transport import BoundedTransport, GuardedTransport

USER_AGENT = "Opsite/1"
CALLS_PER_MINUTE = 600
"""Of one tenant to one host, in one process."""


class Outbound:
    """Calls addresses that somebody else chose. One for a process; it keeps no cookies, and heeds no proxy settings."""

    def __init__(
        self,
        policy: Policy,
        *,
        resolver: Resolver = system_resolver,
        tls: ssl.SSLContext | None = None,
        calls_per_minute: int = CALLS_PER_MINUTE,
    ) -> None:
        self._policy = policy
        self._resolver = resolver
        self._tls = tls or httpcore2.default_ssl_context()
        self._rates = Rates(per_minute=calls_per_minute)
        self._transport = self._guarded()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections. Clients of `http_client` are closed by who has them."""
        await self._transport.aclose()

    async def fetch(self, request: Request, *, tenant: uuid.UUID, limits: Limits = DEFAULT) -> Response:
        """Make the call, follow its redirects, and read the answer, of whatever status.

        Raises an OutboundError; its `sent` says whether the other side may have seen the request.
        """
        headers = checked_headers(request)
        if len(request.content) > limits.request_bytes:
            raise RequestTooLarge(f"The request's body is over {limits.request_bytes} bytes.")
        progress = _Progress()
        try:
            async with asyncio.timeout(limits.total_s):
                return await self._follow(request, headers, tenant=tenant, limits=limits, progress=progress)
        except TimeoutError:
            raise TimedOut(f"The call took longer than {limits.total_s:g} s.", sent=progress.sent) from None
        except OutboundError as error:
            error.sent = progress.sent
            raise

    def http_client(
        self,
        *,
        tenant: uuid.UUID,
        headers: Mapping[str, str] | None = None,
        timeout: httpx2.Timeout | None = None,
        auth: httpx2.Auth | None = None,
        response_bytes: int = DEFAULT.response_bytes,
    ) -> httpx2.AsyncClient:
        """A client of the library for code that brings its own protocol, as `mcp.client.streamable_http` does.

        Every request goes through the guard, those after redirects too (it follows none by itself), and raises OutboundErrors.
        `response_bytes`: of one answer, also of one that goes on for long. The caller closes it.
        """
        return httpx2.AsyncClient(
            transport=BoundedTransport(
                self._guarded(),
                before=lambda host: self._rates.take(tenant=str(tenant), host=host, now_s=time.monotonic()),
                response_bytes=response_bytes,
            ),
            headers={"user-agent": USER_AGENT, **(headers or {})},
            timeout=timeout or httpx2.Timeout(DEFAULT.total_s, connect=DEFAULT.connect_s),
            auth=auth,
            follow_redirects=False,
            trust_env=False,
        )

    def _guarded(self) -> GuardedTransport:
        return GuardedTransport(policy=self._policy, resolver=self._resolver, tls=self._tls)

    async def _follow(
        self,
        request: Request,
        headers: tuple[tuple[str, str], ...],
        *,
        tenant: uuid.UUID,
        limits: Limits,
        progress: _Progress,
    ) -> Response:
        method, content = request.method, request.content
        url = checked(request.url, policy=self._policy)
        for _ in range(limits.redirects + 1):
            self._rates.take(tenant=str(tenant), host=url.host, now_s=time.monotonic())
            answer = await self._send(method, url, headers, content, limits=limits, progress=progress)
            try:
                location = answer.headers.get("location")
                if answer.status_code not in REDIRECTS or location is None:
                    body, cut = await _body(answer, limits=limits)
                    return Response(
                        status=answer.status_code, headers=dict(answer.headers), body=body, url=str(url), cut=cut
                    )
            finally:
                await answer.aclose()
            method, url, headers, content = after(
                status=answer.status_code, location=location, method=method, url=url, headers=headers, content=content
            )
        raise RedirectRefused(f"{url.host} is one redirect too many: at most {limits.redirects} are followed.")

    async def _send(
        self,
        method: str,
        url: httpx2.URL,
        headers: tuple[tuple[str, str], ...],
        content: bytes,
        *,
        limits: Limits,
        progress: _Progress,
    ) -> httpx2.Response:
        fields = httpx2.Headers([("user-agent", USER_AGENT), ("accept", "*/*"), ("accept-encoding", "gzip, deflate")])
        fields.update(httpx2.Headers(headers, encoding="utf-8"))
        message = httpx2.Request(
            method,
            url,
            headers=fields,
            content=content or None,
            extensions={"timeout": {"connect": limits.connect_s}, "trace": progress.trace},
        )
        answer = await self._transport.handle_async_request(message)
        answer.request = message
        return answer


class _Progress:
    """Whether a request began to leave, by the library's own account."""

    def __init__(self) -> None:
        self.sent = False

    async def trace(self, event: str, info: object) -> None:
        if event.endswith("send_request_headers.started"):
            self.sent = True


async def _body(answer: httpx2.Response, *, limits: Limits) -> tuple[bytes, bool]:
    """The decompressed body, and whether it was cut. It is decompressed by bounded pieces, so a bomb ends at the limit."""
    parts, size = [], 0
    try:
        async with aclosing(answer.aiter_bytes()) as decompressed:
            async for part in decompressed:
                parts.append(part)
                size += len(part)
                if size > limits.response_bytes:
                    break
    except httpx2.DecodingError:
        raise UndecodableResponse(f"{answer.request.url.host} sent an answer that cannot be decompressed.") from None
    if size > limits.response_bytes and not limits.cut:
        raise ResponseTooLarge(f"{answer.request.url.host} answered more than {limits.response_bytes} bytes.")
    return b"".join(parts)[: limits.response_bytes], size > limits.response_bytes
