"""`/v1/batches`: parse, one call, format."""

from __future__ import annotations

import uuid
from typing import Annotated, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from agents.faces import answers
from agents.faces.context import Context
from agents.faces.principals import Principal
from agents.faces.requests import decode
from agents.problems import bad_field, bad_key, not_found
from batches import services, statements
from batches.endpoints import ENDPOINTS
from batches.faces import listing
from batches.faces.uploads import EXPIRES_MAX_S, EXPIRES_MIN_S
from batches.identifiers import BATCH, FILE, row_of
from batches.objects import batch_of, page_of

LIST_DEFAULT, LIST_MAX = 20, 100
METADATA_MAX = 16

MetadataValue = Annotated[str, msgspec.Meta(max_length=512)]


class OutputExpiresAfter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long the files stay that the batch writes, from their making."""

    anchor: Literal["created_at"]
    seconds: Annotated[int, msgspec.Meta(ge=EXPIRES_MIN_S, le=EXPIRES_MAX_S)]


class BatchRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`POST /v1/batches`. Any other field of OpenAI's API is refused by its name."""

    input_file_id: str
    endpoint: str
    completion_window: Literal["24h"]
    metadata: dict[str, MetadataValue] | None = None
    output_expires_after: OutputExpiresAfter | None = None


async def create(context: Context, request: Request) -> Response:
    """`POST /v1/batches`."""
    principal = await _principal(context, request, "batches:write")
    principal.require("tasks:write")  # what the lines are run by
    if principal.key is None:  # a batch goes on in the name of a key
        raise bad_key()
    wanted = decode(await answers.body_of(request, context.body_limit), BatchRequest)
    if wanted.endpoint not in ENDPOINTS:
        raise bad_field("endpoint", f"{wanted.endpoint!r} is not supported here; known are {', '.join(ENDPOINTS)}")
    if wanted.metadata and (len(wanted.metadata) > METADATA_MAX or any(len(name) > 64 for name in wanted.metadata)):
        raise bad_field("metadata", f"at most {METADATA_MAX} pairs, with names of up to 64 characters")
    row = await services.create_batch(
        context.db,
        tenant=principal.tenant,
        key=principal.key,
        endpoint=wanted.endpoint,
        input_file=row_of(FILE, wanted.input_file_id),
        metadata=wanted.metadata,
        output_expires_after_s=None if wanted.output_expires_after is None else wanted.output_expires_after.seconds,
    )
    return answers.json(batch_of(row))


async def list_batches(context: Context, request: Request) -> Response:
    """`GET /v1/batches`."""
    principal = await _principal(context, request, "batches:read")
    asked = listing.asked(request, prefix=BATCH, default=LIST_DEFAULT, most=LIST_MAX)
    rows, more = await listing.page(
        context, asked, tenant=principal.tenant, rows=statements.BATCHES, one=statements.BATCH
    )
    return answers.json(page_of([batch_of(row) for row in rows], has_more=more))


async def get_batch(context: Context, request: Request) -> Response:
    """`GET /v1/batches/{id}`."""
    principal = await _principal(context, request, "batches:read")
    row = await context.db.one(statements.BATCH, principal.tenant, _id(request))
    if row is None:
        raise not_found("batch")
    return answers.json(batch_of(row))


async def cancel(context: Context, request: Request) -> Response:
    """`POST /v1/batches/{id}/cancel`."""
    principal = await _principal(context, request, "batches:write")
    return answers.json(batch_of(await services.cancel_batch(context.db, tenant=principal.tenant, batch=_id(request))))


async def _principal(context: Context, request: Request, scope: str) -> Principal:
    principal = await context.directory.principal(request.headers.get("authorization"))
    principal.require(scope)
    return principal


def _id(request: Request) -> uuid.UUID:
    batch = row_of(BATCH, request.path_params["id"])
    if batch is None:
        raise not_found("batch")
    return batch
