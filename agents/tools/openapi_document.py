"""HTTP tools from an OpenAPI 3 document: one for each operation. Pure: the document was read before."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec

from agents.problems import bad_field

METHODS = ("get", "head", "post", "put", "patch", "delete")
IMPORTED_MAX = 64
DEPTH_MAX = 20
IDEMPOTENT = frozenset({"get", "head", "put", "delete"})
"""Methods that RFC 9110 calls idempotent; the importer may know better, and changes the tool."""
_NOT_A_NAME = re.compile(r"[^a-zA-Z0-9_-]+")


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
    if not isinstance(document.get("paths"), dict):
        raise bad_field(f"{field}.paths", "must be an object")
    base = base_url or _server(document, field=field)
    found = [
        _tool(
            document,
            operation,
            url=base.rstrip("/") + path,
            method=method,
            shared=shared,
            here=f"{field}.paths.{path}.{method}",
        )
        for path, method, operation, shared in _operations(document)
        if not operations or operation.get("operationId") in operations
    ]
    if missing := set(operations) - {
        one["operationId"] for _, _, one, _ in _operations(document) if "operationId" in one
    }:
        raise bad_field("operations", f"there is no operation {min(missing)!r} in the document")
    if not found:
        raise bad_field(f"{field}.paths", "has no operation")
    if len(found) > IMPORTED_MAX:
        raise bad_field("operations", f"the document has {len(found)} operations; name at most {IMPORTED_MAX}")
    return found


def _server(document: dict[str, Any], *, field: str) -> str:
    servers = document.get("servers") or [{}]
    url = str(servers[0].get("url", "")) if isinstance(servers, list) and isinstance(servers[0], dict) else ""
    if not url.startswith(("https://", "http://")):
        raise bad_field("base_url", f"{field}.servers names no whole address; give it as `base_url`")
    return url


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any], list[Any]]]:
    for path, item in document["paths"].items():
        if isinstance(item, dict):
            for method in METHODS:
                if isinstance(item.get(method), dict):
                    yield path, method, item[method], item.get("parameters", [])


def _tool(
    document: dict[str, Any], operation: dict[str, Any], *, url: str, method: str, shared: list[Any], here: str
) -> Imported:
    properties: dict[str, Any] = {}
    required: list[str] = []
    query, headers = [], []
    for given in (*shared, *operation.get("parameters", [])):
        one = _resolved(document, given, here=here)
        name, place = one.get("name"), one.get("in")
        if not isinstance(name, str) or place not in ("path", "query", "header", "cookie"):
            raise bad_field(f"{here}.parameters", "each needs `name` and `in`")
        if place == "cookie":
            if one.get("required"):
                raise bad_field(
                    f"{here}.parameters", f"the cookie {name!r} is required, but cookies are not supported here"
                )
            continue
        schema = _resolved(document, one.get("schema", {}), here=here)
        properties[name] = {**({"description": one["description"]} if "description" in one else {}), **schema}
        if one.get("required") or place == "path":
            required.append(name)
        if place == "query":
            query.append(name)
        elif place == "header":
            headers.append(name)
    body = _body(document, operation, here=here)
    if clash := set(properties) & set(body.get("properties", {})):
        raise bad_field(here, f"{min(clash)!r} is both a parameter and a part of the body, which is not supported here")
    properties |= body.get("properties", {})
    required += body.get("required", [])
    name = _NOT_A_NAME.sub("_", str(operation.get("operationId") or f"{method}_{urlsplit(url).path}")).strip("_")[:64]
    return Imported(
        name=name,
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


def _body(document: dict[str, Any], operation: dict[str, Any], *, here: str) -> dict[str, Any]:
    if "requestBody" not in operation:
        return {}
    content = _resolved(document, operation["requestBody"], here=here).get("content", {})
    if "application/json" not in content:
        raise bad_field(f"{here}.requestBody", "only application/json is supported here")
    schema = _resolved(document, content["application/json"].get("schema", {}), here=here)
    if not isinstance(schema, dict) or schema.get("type", "object") != "object":
        raise bad_field(f"{here}.requestBody", "only an object is supported here")
    return schema


def _resolved(document: dict[str, Any], value: Any, *, here: str, depth: int = 0) -> Any:
    """The value with its references within the document replaced by what they name."""
    if depth > DEPTH_MAX:
        raise bad_field(here, "its references go round in a circle, or too deep")
    if isinstance(value, list):
        return [_resolved(document, item, here=here, depth=depth + 1) for item in value]
    if not isinstance(value, dict):
        return value
    if isinstance(reference := value.get("$ref"), str):
        target: Any = document
        if not reference.startswith("#/"):
            raise bad_field(here, f"{reference!r} lies outside the document, which is not read")
        for part in reference[2:].split("/"):
            target = target.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(target, dict) else None
        if target is None:
            raise bad_field(here, f"{reference!r} names nothing in the document")
        return _resolved(document, target, here=here, depth=depth + 1)
    return {name: _resolved(document, item, here=here, depth=depth + 1) for name, item in value.items()}
