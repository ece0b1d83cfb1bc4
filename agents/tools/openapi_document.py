"""HTTP tools from an OpenAPI 3 document: one for each operation. Pure: the document was read before."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from agents.problems import bad_field
from tenants.references import names_in

METHODS = ("get", "head", "post", "put", "patch", "delete")
IMPORTED_MAX = 64
DEPTH_MAX = 20
VALUES_MAX = 50_000
"""Values that an operation may have once its references are followed: few lines can name each other into millions."""
IDEMPOTENT = frozenset({"get", "head", "put", "delete"})
"""Methods that RFC 9110 calls idempotent; the importer may know better, and changes the tool."""
_NOT_PARAMETERS = frozenset({"accept", "authorization", "content-type"})
"""Headers that OpenAPI says to ignore where they are described as parameters."""
_NOT_A_NAME = re.compile(r"[^a-zA-Z0-9_-]+")

K = TypeVar("K", dict[str, Any], list[Any])


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """One tool as the document describes it; `request` as in `agents.tools.http_request.HttpRequest`."""

    name: str
    description: str
    parameters: dict[str, Any]
    request: dict[str, Any]
    is_idempotent: bool


def tools_of(
    document: Any, *, base_url: str, operations: Sequence[str] = (), field: str = "document"
) -> list[Imported]:
    """The document's operations (all, or those with these operation ids), or the problem that says what does not fit."""
    if not isinstance(document, dict) or not str(document.get("openapi", "")).startswith("3."):
        raise bad_field(field, "is no OpenAPI 3 document")
    base = base_url or _server(document, field=field)
    listed = list(_operations(_member(document, "paths", {}, here=field), here=f"{field}.paths"))
    ids = {_operation_id(operation) for _, _, operation, _ in listed}
    if missing := set(operations) - ids:
        raise bad_field("operations", f"there is no operation {min(missing)!r} in the document")
    chosen = [one for one in listed if not operations or _operation_id(one[2]) in operations]
    if not chosen:
        raise bad_field(f"{field}.paths", "has no operation")
    if len(chosen) > IMPORTED_MAX:
        raise bad_field("operations", f"the document has {len(chosen)} operations; name at most {IMPORTED_MAX}")
    return [
        _tool(
            _References(document, here=f"{field}.paths.{path}.{method}"),
            operation,
            url=base.rstrip("/") + path,
            method=method,
            shared=shared,
        )
        for path, method, operation, shared in chosen
    ]


def _server(document: dict[str, Any], *, field: str) -> str:
    servers = document.get("servers") or [{}]
    url = str(servers[0].get("url", "")) if isinstance(servers, list) and isinstance(servers[0], dict) else ""
    if not url.startswith(("https://", "http://")):
        raise bad_field("base_url", f"{field}.servers names no whole address; give it as `base_url`")
    return _without_secrets(url, here=f"{field}.servers")


def _without_secrets(text: str, *, here: str) -> str:
    """Who wrote the document may be anybody: it must not say where the importer's secrets are sent."""
    if names_in([text]):
        raise bad_field(here, "a document cannot refer to secrets; refer to them in `base_url` or `headers`")
    return text


def _member(value: dict[str, Any], name: str, default: K, *, here: str) -> K:
    """A member that must be of the default's kind, which stands for it where it is left out."""
    found = value.get(name, default)
    if not isinstance(found, type(default)):
        raise bad_field(f"{here}.{name}", f"must be {'an object' if isinstance(default, dict) else 'a list'}")
    return found


def _operation_id(operation: dict[str, Any]) -> str:
    return str(operation.get("operationId") or "")


def _operations(paths: dict[str, Any], *, here: str) -> Iterator[tuple[str, str, dict[str, Any], list[Any]]]:
    for path, item in paths.items():
        if isinstance(item, dict) and not path.startswith("x-"):
            if not path.startswith("/"):  # behind the server's name, it would name another server
                raise bad_field(f"{here}.{path}", "must begin with a slash")
            _without_secrets(path, here=f"{here}.{path}")
            shared = _member(item, "parameters", [], here=f"{here}.{path}")
            for method in METHODS:
                if isinstance(item.get(method), dict):
                    yield path, method, item[method], shared


def _tool(references: _References, operation: dict[str, Any], *, url: str, method: str, shared: list[Any]) -> Imported:
    here = references.here
    properties: dict[str, Any] = {}
    required: list[str] = []
    query, headers = [], []
    for given in (*shared, *_member(operation, "parameters", [], here=here)):
        one = references.followed(given)
        name, place = (one.get("name"), one.get("in")) if isinstance(one, dict) else (None, None)
        if not isinstance(name, str) or place not in ("path", "query", "header", "cookie"):
            raise bad_field(f"{here}.parameters", "each needs `name` and `in`")
        if place == "header" and name.lower() in _NOT_PARAMETERS:
            continue
        if place == "cookie":
            if one.get("required"):
                raise bad_field(
                    f"{here}.parameters", f"the cookie {name!r} is required, but cookies are not supported here"
                )
            continue
        schema = _member(one, "schema", {}, here=f"{here}.parameters")
        properties[name] = {**({"description": one["description"]} if "description" in one else {}), **schema}
        if one.get("required") or place == "path":
            required.append(name)
        if place == "query":
            query.append(name)
        elif place == "header":
            headers.append(name)
    body = _body(references, operation)
    parts = _member(body, "properties", {}, here=f"{here}.requestBody")
    if clash := set(properties) & set(parts):
        raise bad_field(here, f"{min(clash)!r} is both a parameter and a part of the body, which is not supported here")
    properties |= parts
    required += [str(name) for name in _member(body, "required", [], here=f"{here}.requestBody")]
    plain = _operation_id(operation) or f"{method}_{_path(url)}"
    return Imported(
        name=_NOT_A_NAME.sub("_", plain).strip("_")[:64],
        description=str(operation.get("description") or operation.get("summary") or "")[:4000],
        parameters={"type": "object", "properties": properties, "required": sorted(set(required))},
        request={
            "method": method.upper(),
            "url": url,
            "query": query,
            "header_arguments": headers,
        },
        is_idempotent=method in IDEMPOTENT,
    )


def _path(url: str) -> str:
    try:
        return urlsplit(url).path
    except ValueError as error:
        raise bad_field("base_url", f"{url!r} is no URL: {error}") from None


def _body(references: _References, operation: dict[str, Any]) -> dict[str, Any]:
    if "requestBody" not in operation:
        return {}
    here = f"{references.here}.requestBody"
    body = references.followed(operation["requestBody"])
    content = _member(body, "content", {}, here=here) if isinstance(body, dict) else {}
    if "application/json" not in content:
        raise bad_field(here, "only application/json is supported here")
    schema = _member(_member(content, "application/json", {}, here=here), "schema", {}, here=here)
    if schema.get("type", "object") != "object":
        raise bad_field(here, "only an object is supported here")
    return schema


class _References:
    """Follows the references of one operation within its document. `here` is where the operation stands."""

    def __init__(self, document: dict[str, Any], *, here: str) -> None:
        self._document, self.here = document, here
        self._left = VALUES_MAX

    def followed(self, value: Any, *, depth: int = 0) -> Any:
        """The value with its references replaced by what they name."""
        self._left -= 1
        if depth > DEPTH_MAX:
            raise bad_field(self.here, "its references go round in a circle, or too deep")
        if self._left < 0:
            raise bad_field(self.here, f"has more than {VALUES_MAX} values once its references are followed")
        if isinstance(value, list):
            return [self.followed(item, depth=depth + 1) for item in value]
        if not isinstance(value, dict):
            return value
        if isinstance(reference := value.get("$ref"), str):
            return self.followed(self._named(reference), depth=depth + 1)
        return {name: self.followed(item, depth=depth + 1) for name, item in value.items()}

    def _named(self, reference: str) -> Any:
        target: Any = self._document
        if not reference.startswith("#/"):
            raise bad_field(self.here, f"{reference!r} lies outside the document, which is not read")
        for part in reference[2:].split("/"):
            target = target.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(target, dict) else None
        if target is None:
            raise bad_field(self.here, f"{reference!r} names nothing in the document")
        return target
