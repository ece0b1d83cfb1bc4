"""The hot route of knowledge in the OpenAPI document: its schemas are made of the struct that decodes it."""

from __future__ import annotations

from typing import Any

import msgspec

from agents.api.openapi.forms import ref
from agents.api.openapi.operations import content, operation
from knowledge.face import SearchRequest

SEARCH = "/api/v1/collections/{slug}/search"
SLUG = {"name": "slug", "in": "path", "required": True, "schema": {"type": "string"}}


def add_search(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """drf-spectacular's post-processing hook, behind that of the other hot routes."""
    result["paths"][SEARCH] = {
        "post": operation(
            "search_a_collection",
            "Find the chunks that are nearest to a query",
            {"200": {"description": "The nearest first", **content(ref("SearchResults"))}},
            400, 404, 409, 413, 422, 429,
            tag="collections",
            body="SearchRequest",
            parameters=[SLUG],
        )
    }  # fmt: skip
    _, requests = msgspec.json.schema_components([SearchRequest], ref_template="#/components/schemas/{name}")
    result["components"]["schemas"] |= {**requests, "SearchResults": _RESULTS}
    return result


def _all(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


_COUNT = {"type": "integer", "minimum": 0}
_RESULTS = _all(
    results={
        "type": "array",
        "items": _all(
            text={"type": "string"},
            score={"type": "number", "description": "The cosine of the angle to the query: 1 at most."},
            document=_all(
                id={"type": "string", "format": "uuid"}, title={"type": "string"}, metadata={"type": "object"}
            ),
            place={
                **_all(chunk={"type": "integer", "minimum": 1}, start=_COUNT, stop=_COUNT),
                "description": "Which chunk of the document, and its characters: from `start` to before `stop`.",
            },
        ),
    }
)
