"""The guarded transport: requests in the library's own form, over connections that only the policy allows."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from contextlib import contextmanager

import httpcore2
import httpx2

from outbound.failures import (
    ConnectionFailed,
    ConnectionLost,
    InvalidRequest,
    ResponseTooLarge,
    TimedOut,
    UndecodableResponse,
)
from outbound.network import GuardedNetwork, Resolver
from outbound.policy import Policy
from outbound.targets import checked

IDLE_CONNECTIONS = 20
IDLE_S = 5.0
"""How long a connection is kept for the next call: shorter than servers keep theirs, so that hardly any closes under a request."""


class GuardedTransport(httpx2.AsyncBaseTransport):
    """Sends single requests, redirects not followed. It raises what `failures` defines, and nothing of the libraries below.

    There is no proxy and no pool limit: how many calls run at once is their callers' affair.
    """

    def __init__(self, *, policy: Policy, resolver: Resolver, tls: ssl.SSLContext) -> None:
        self._policy = policy
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=tls,
            max_connections=None,
            max_keepalive_connections=IDLE_CONNECTIONS,
            keepalive_expiry=IDLE_S,
            network_backend=GuardedNetwork(policy=policy, resolver=resolver),
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """One request, and its answer's head; the body is read from the answer's stream."""
        url = checked(request.url, policy=self._policy)
        assert isinstance(request.stream, httpx2.AsyncByteStream)
        with _named(url.host):
            answer = await self._pool.handle_async_request(
                httpcore2.Request(
                    method=request.method,
                    url=httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
        assert isinstance(answer.stream, AsyncIterable)
        return httpx2.Response(
            status_code=answer.status,
            headers=answer.headers,
            stream=_Body(answer.stream, host=url.host),
            extensions=answer.extensions,
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._pool.aclose()


class BoundedTransport(httpx2.AsyncBaseTransport):
    """For a library that brings its own client (MCP): `before` each request, and each answer's bytes bounded.

    Nothing compressed is asked for, and what comes compressed all the same is refused: then the bytes counted are the bytes that
    the library sees.
    """

    def __init__(self, inner: GuardedTransport, *, before: Callable[[str], None], response_bytes: int) -> None:
        self._inner = inner
        self._before = before
        self._response_bytes = response_bytes

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """As the guarded transport does, within the bounds."""
        self._before(request.url.host)
        request.headers["accept-encoding"] = "identity"
        answer = await self._inner.handle_async_request(request)
        if answer.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
            await answer.aclose()
            raise UndecodableResponse(f"{request.url.host} compressed an answer that was not to be.", sent=True)
        assert isinstance(answer.stream, httpx2.AsyncByteStream)
        answer.stream = _Bounded(answer.stream, host=request.url.host, limit=self._response_bytes)
        return answer

    async def aclose(self) -> None:
        """Close all connections."""
        await self._inner.aclose()


class _Body(httpx2.AsyncByteStream):
    def __init__(self, stream: AsyncIterable[bytes], *, host: str) -> None:
        self._stream = stream
        self._host = host

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _named(self._host):
            async for part in self._stream:
                yield part

    async def aclose(self) -> None:
        if hasattr(self._stream, "aclose"):
            await self._stream.aclose()


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream, *, host: str, limit: int) -> None:
        self._stream = stream
        self._host = host
        self._left = limit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._stream:
            self._left -= len(part)
            if self._left < 0:
                raise ResponseTooLarge(f"{self._host} answered more than may be read.", sent=True)
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()


@contextmanager
def _named(host: str) -> Iterator[None]:
    """The library's failures as this package's, without what they quote."""
    try:
        yield
    except httpcore2.ConnectError:
        raise ConnectionFailed(f"{host} did not agree on a secure connection; its certificate must be valid.") from None
    except httpcore2.ConnectTimeout:
        raise ConnectionFailed(f"{host} did not accept a connection in time.") from None
    except httpcore2.TimeoutException:
        raise TimedOut(f"{host} did not answer in time.", sent=True) from None
    except (httpcore2.LocalProtocolError, httpcore2.UnsupportedProtocol):
        raise InvalidRequest("The request is none that HTTP can carry.") from None
    except (httpcore2.NetworkError, httpcore2.ProtocolError):
        raise ConnectionLost(f"{host} broke the connection, or did not speak HTTP.", sent=True) from None
