"""HTTP tools: from a call's arguments to a request, and from the answer to what the model is told. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from agents.problems import bad_field
from agents.tools.results import CallFailed, Result, bounded
from outbound.requests import Request, Response
from tenants.references import UnknownSecret, filled, masked, names_in

_PLACE = re.compile(r"\{([a-zA-Z0-9_.-]+)\}")


class HttpRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a call becomes a request.

    An argument goes where the URL has `{name}`, escaped; or into the query or a header if it is listed there; what is left goes
    into the query of GET, HEAD and DELETE, else into a body of the form `body`. Headers and URL may hold `${secret:NAME}`.
    """

    url: Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    headers: dict[str, str] = {}
    query: tuple[str, ...] = ()
    header_arguments: tuple[str, ...] = ()
    body: Literal["json", "form"] = "json"


def checked_request(request: Any, *, properties: Mapping[str, Any], field: str = "request") -> HttpRequest:
    """A tool's request, or the problem that names what does not fit. `properties` are those of the tool's parameters."""
    try:
        known = msgspec.convert(request, HttpRequest)
    except msgspec.ValidationError as error:
        raise bad_field(field, str(error)) from error
    try:
        url = urlsplit(known.url)
    except ValueError as error:
        raise bad_field(f"{field}.url", f"is no URL: {error}") from None
    if url.scheme not in ("http", "https"):
        raise bad_field(f"{field}.url", "must begin with https:// or http://")
    if _PLACE.search(url.netloc.replace("${", "")):
        raise bad_field(f"{field}.url", "the host must not come from an argument")
    unknown = [name for name in (*_places(known.url), *known.query, *known.header_arguments) if name not in properties]
    if unknown:
        raise bad_field(field, f"{unknown[0]!r} is no property of the parameters")
    return known


def secret_names(texts: HttpRequest | Mapping[str, str]) -> list[str]:
    """The secrets that a request, or headers, refer to."""
    return names_in([texts.url, *texts.headers.values()] if isinstance(texts, HttpRequest) else texts.values())


def request_of(tool: HttpRequest, arguments: Mapping[str, Any], secrets: Mapping[str, str]) -> Request:
    """The request that a call makes, or `CallFailed`."""
    left = dict(arguments)
    for name in _places(tool.url):
        if left.get(name) is None:
            raise CallFailed(f"{name}: is needed, it is part of the address.", sent=False)
    try:
        # Secrets last: what an argument says is never read as a reference.
        parts = re.split(r"(\$\{secret:[^{}]*\})", tool.url)
        url = "".join(
            filled(part, secrets)
            if part.startswith("${secret:")
            else _PLACE.sub(lambda place: _segment(_plain(arguments[place[1]])), part)
            for part in parts
        )
        headers = {name: filled(value, secrets) for name, value in tool.headers.items()}
    except UnknownSecret as error:
        raise CallFailed(str(error), sent=False) from error
    for name in _places(tool.url):
        left.pop(name, None)
    headers |= {name: _plain(left.pop(name)) for name in tool.header_arguments if name in left}
    in_query = list(left) if tool.method in ("GET", "HEAD", "DELETE") else [name for name in tool.query if name in left]
    if query := [(name, item) for name in in_query for item in _items(left.pop(name))]:
        url += ("&" if "?" in url else "?") + urlencode(query)
    content = b""
    if tool.method not in ("GET", "HEAD", "DELETE"):
        json_body = tool.body == "json"
        headers.setdefault("content-type", "application/json" if json_body else "application/x-www-form-urlencoded")
        fields = [(name, item) for name, value in left.items() for item in _items(value)]
        content = (json.dumps(left) if json_body else urlencode(fields)).encode()
    return Request(method=tool.method, url=url, headers=headers, content=content)


def result_of(response: Response, secrets: Mapping[str, str]) -> Result:
    """What the model is told of the answer."""
    text = masked(response.body.decode(errors="replace"), secrets)
    if response.status >= 400:
        return Result(bounded(f"HTTP {response.status}: {text}"), is_error=True)
    return Result(bounded(text or f"HTTP {response.status}, without a body"))


def _places(url: str) -> list[str]:
    return _PLACE.findall(re.sub(r"\$\{secret:[^{}]*\}", "", url))


def _segment(text: str) -> str:
    """Text as a part of a path: it can neither leave its place nor be a step up."""
    if text in (".", "..", ""):
        raise CallFailed(f"{text!r} cannot be part of the address.", sent=False)
    return quote(text, safe="")


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _items(value: Any) -> list[str]:
    return [_plain(item) for item in value] if isinstance(value, list) else [_plain(value)]
