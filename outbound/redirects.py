"""What is asked next after a redirect (RFC 9110, 15.4). Pure."""

from __future__ import annotations

import httpx2

from outbound.failures import InvalidTarget, RedirectRefused

REDIRECTS = frozenset({301, 302, 303, 307, 308})

HARMLESS = frozenset({"accept", "accept-language", "content-type", "user-agent"})
"""Headers that may go to another origin. Which of the others are secret only their author knows, so none goes."""
OF_CONTENT = frozenset({"content-type", "content-encoding", "content-language", "content-location", "digest"})


def after(
    *, status: int, location: str, method: str, url: httpx2.URL, headers: tuple[tuple[str, str], ...], content: bytes
) -> tuple[str, httpx2.URL, tuple[tuple[str, str], ...], bytes]:
    """Method, URL, headers and content of the request that follows. Raises RedirectRefused for one from https to http.

    A POST becomes a GET without content after 301 and 302, as RFC 9110 lets it and everybody does; after 303 all but HEAD do; after
    307 and 308 the request is repeated as it was.
    """
    try:
        target = url.join(location)
    except httpx2.InvalidURL:
        raise InvalidTarget("The redirect's URL is not valid.", sent=True) from None
    if url.scheme == "https" and target.scheme == "http":
        raise RedirectRefused(f"{url.host} redirects from https to http.", sent=True)
    if (status == 303 and method not in ("GET", "HEAD")) or (status in (301, 302) and method == "POST"):
        method, content = "GET", b""
        headers = tuple(header for header in headers if header[0].lower() not in OF_CONTENT)
    if origin(target) != origin(url):
        headers = tuple(header for header in headers if header[0].lower() in HARMLESS)
    return method, target, headers, content


def origin(url: httpx2.URL) -> tuple[str, str, int | None]:
    """Scheme, host and port (None: the scheme's own); the library writes hosts in small letters."""
    return url.scheme, url.host, url.port
