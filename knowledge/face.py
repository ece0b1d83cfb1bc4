"""The hot route of knowledge: search. It waits for a vector from the fleet, so it is none of Django's."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from agents.faces import answers
from agents.faces.app import Handler
from agents.faces.context import Context
from agents.faces.requests import decode
from knowledge.search import K_MAX, Hit, search


class SearchRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`POST /api/v1/collections/{slug}/search`. `metadata`: only documents whose metadata has all of this."""

    query: str
    k: Annotated[int, Meta(ge=1, le=K_MAX)] = 5
    metadata: dict[str, Any] = {}


async def search_collection(context: Context, request: Request) -> Response:
    """The nearest chunks, the nearest first."""
    principal = await context.directory.principal(request.headers.get("authorization"))
    principal.require("knowledge:read")
    wanted = decode(await answers.body_of(request, context.body_limit), SearchRequest)
    hits = await search(
        context, principal, request.path_params["slug"], wanted.query, wanted.k, metadata=wanted.metadata
    )
    return answers.json({"results": [_shown(hit) for hit in hits]})


def _shown(hit: Hit) -> dict[str, Any]:
    return {
        "text": hit.text,
        "score": hit.score,
        "document": {"id": hit.document, "title": hit.title, "metadata": hit.metadata},
        "place": {"chunk": hit.chunk, "start": hit.start, "stop": hit.stop},
    }


ROUTES: list[tuple[str, str, Handler]] = [("POST", "/api/v1/collections/{slug}/search", search_collection)]
