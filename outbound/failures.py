"""Why a call was not made, or brought no answer. Each has a code that stays, and a sentence that may be shown to the tenant.

No message holds a header, a query, a body, or an address that a name was resolved to.
"""

from __future__ import annotations


class OutboundError(Exception):
    """A call that brought no answer.

    `sent`: whether the other side may have seen the request. False is certain: nothing of it left this process.
    """

    code = "outbound_error"

    def __init__(self, message: str, *, sent: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.sent = sent


class InvalidTarget(OutboundError):
    """The URL is none that may be called, whatever it resolves to."""

    code = "invalid_url"


class InvalidRequest(OutboundError):
    """The method or a header is none that a caller may set."""

    code = "invalid_request"


class AddressRefused(OutboundError):
    """The host is, or resolves to, an address that is not public.

    `why`: a word of `addresses.NOT_PUBLIC`; for an operator's log, not for tenants.
    """

    code = "address_refused"

    def __init__(self, host: str, *, why: str) -> None:
        super().__init__(
            f"{host} is not a public address, or resolves to one that is not; only public addresses are called. "
            "An operator can allow a network with OPSITE_OUTBOUND_ALLOW."
        )
        self.why = why


class PortRefused(OutboundError):
    """A port that other protocols listen at."""

    code = "port_refused"


class NameNotResolved(OutboundError):
    """The host's name has no address."""

    code = "name_not_resolved"


class ConnectionFailed(OutboundError):
    """Nobody answered at the address, or TLS was not agreed on."""

    code = "connection_failed"


class ConnectionLost(OutboundError):
    """The connection broke, or did not speak HTTP, after the request began."""

    code = "connection_lost"


class TimedOut(OutboundError):
    """The limit of seconds was reached."""

    code = "timeout"


class RequestTooLarge(OutboundError):
    """The body is over the limit."""

    code = "request_too_large"


class ResponseTooLarge(OutboundError):
    """The answer, decompressed, is over the limit."""

    code = "response_too_large"


class UndecodableResponse(OutboundError):
    """The answer is compressed in a way that was not asked for, or is not what it says."""

    code = "undecodable_response"


class RedirectRefused(OutboundError):
    """Too many redirects, or one that may not be followed."""

    code = "redirect_refused"


class RateLimited(OutboundError):
    """The tenant calls this host too often. `retry_after_s`: seconds until a call fits."""

    code = "rate_limited"

    def __init__(self, host: str, *, retry_after_s: float) -> None:
        super().__init__(f"Too many calls to {host}. Try again in {retry_after_s:.0f} s.")
        self.retry_after_s = retry_after_s
