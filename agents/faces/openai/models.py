"""The OpenAI-compatible face: what a call may name as its model.

That is each agent of the tenant, and each pool that it may use; where both have one name, the agent. An agent that only stands for
a pool is left out: the pool is there under its own name.
"""

from __future__ import annotations

import uuid
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from agents.faces import answers, database
from agents.faces.context import Context
from agents.problems import no_model


async def list_models(context: Context, request: Request) -> Response:
    """`GET /v1/models`."""
    models = await _models(context, await _reader(context, request))
    return answers.json({"object": "list", "data": list(models.values())})


async def get_model(context: Context, request: Request) -> Response:
    """`GET /v1/models/{id}`."""
    name = request.path_params["id"]
    models = await _models(context, await _reader(context, request))
    if name not in models:
        raise no_model(name)
    return answers.json(models[name])


async def _reader(context: Context, request: Request) -> uuid.UUID:
    """The tenant that asks, with a key that may read agents."""
    principal = await context.directory.principal(request.headers.get("authorization"))
    principal.require("agents:read")
    return principal.tenant


async def _models(context: Context, tenant: uuid.UUID) -> dict[str, dict[str, Any]]:
    """OpenAI's form of each by its name: agents first, then pools."""
    models: dict[str, dict[str, Any]] = {}
    for kind, statement in (("agent", database.AGENTS), ("pool", database.POOLS)):
        for row in await context.db.all(statement, tenant):
            created = int(row["created_at"].timestamp())
            models.setdefault(
                row["slug"], {"id": row["slug"], "object": "model", "created": created, "owned_by": f"opsite:{kind}"}
            )
    return models
