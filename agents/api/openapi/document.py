"""The document as a whole: Django's routes as drf-spectacular describes them, with their refusals, and the hot ones beside them."""

from __future__ import annotations

from typing import Any

from agents.api.openapi.hot_routes import PATHS, socket
from agents.api.openapi.operations import ALWAYS, refusals
from agents.api.openapi.schemas import schemas

CONFLICTS = {
    ("post", "/api/v1/agents"),
    ("patch", "/api/v1/agents/{slug}"),
    ("delete", "/api/v1/agents/{slug}"),
    ("post", "/api/v1/agents/{slug}/revisions"),
    ("post", "/api/v1/agents/{slug}/revisions/{number}/publish"),
    ("put", "/api/v1/agents/{slug}/traffic"),
    ("post", "/api/v1/agents/{slug}/roll-back"),
    ("delete", "/api/v1/conversations/{id}"),
    ("post", "/api/v1/conversations/{id}/messages"),
    ("post", "/api/v1/tools"),
    ("patch", "/api/v1/tools/{name}"),
    ("delete", "/api/v1/tools/{name}"),
    ("post", "/api/v1/tools/import"),
    ("post", "/api/v1/mcp-servers"),
    ("delete", "/api/v1/mcp-servers/{name}"),
    ("post", "/api/v1/mcp-servers/{name}/discover"),
    ("post", "/api/v1/webhooks"),
    ("post", "/api/v1/webhooks/{id}/test"),
    ("post", "/api/v1/webhooks/{id}/deliveries/{delivery}/replay"),
    ("post", "/api/v1/input-sets"),
    ("delete", "/api/v1/input-sets/{id}"),
    ("post", "/api/v1/schedules"),
    ("patch", "/api/v1/schedules/{id}"),
    ("post", "/api/v1/collections"),
    ("post", "/api/v1/collections/{slug}/documents"),
}
"""Django's operations that 409 may refuse."""
BY_ENDING = {"discover": (400, 502), "steps": (400,), "csv": (400,)}
"""What else refuses, by a path's last word. `steps` and `csv` take no query, and refuse one."""


def add_hot_routes(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """drf-spectacular's post-processing hook: Django's routes with their refusals, beside the hot ones."""
    paths: dict[str, Any] = {}
    for path, operations in result["paths"].items():
        for method, operation in operations.items():
            if method != "parameters":
                _add_refusals(operation, method=method, path=path)
        paths[path.rstrip("/")] = operations  # both are served; the document shows one
    for path, operations in PATHS.items():
        paths.setdefault(path, {}).update(operations)
    paths["/ws/v1/"] = {"get": socket()}
    result["paths"] = paths
    result.setdefault("components", {}).setdefault("schemas", {}).update(schemas())
    return result


def _add_refusals(operation: dict[str, Any], *, method: str, path: str) -> None:
    statuses = {*ALWAYS, 406, *BY_ENDING.get(path.rstrip("/").rpartition("/")[2], ())}
    if "{" in path:
        statuses.add(404)
    if "requestBody" in operation:
        statuses |= {400, 413, 415}
    if any(parameter["in"] == "query" for parameter in operation.get("parameters", ())):
        statuses.add(400)
    if (method, path.rstrip("/")) in CONFLICTS:
        statuses.add(409)
    for status, answer in refusals(*statuses).items():
        operation["responses"].setdefault(status, answer)
