"""`/v1/files`: parse, one call, format."""

from __future__ import annotations

import uuid

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from agents.faces import answers
from agents.faces.context import Context
from agents.faces.database import Row
from agents.faces.principals import Principal
from agents.problems import bad_field, not_found
from batches import services, statements, storage
from batches.faces import listing
from batches.faces.uploads import Upload
from batches.identifiers import FILE, row_of, shown
from batches.objects import file_of, page_of

LIST_MAX = 10_000
PURPOSES = ("batch", "batch_output")


async def upload(context: Context, request: Request) -> Response:
    """`POST /v1/files`."""
    principal = await _principal(context, request, "files:write")
    return answers.json(file_of(await Upload(context, principal.tenant, request).receive()))


async def list_files(context: Context, request: Request) -> Response:
    """`GET /v1/files`."""
    principal = await _principal(context, request, "files:read")
    asked = listing.asked(request, prefix=FILE, default=LIST_MAX, most=LIST_MAX, filters=("purpose",), ordered=True)
    if asked.filters["purpose"] not in (None, *PURPOSES):
        raise bad_field("purpose", f"must be one of {', '.join(PURPOSES)}")
    rows, more = await listing.page(context, asked, tenant=principal.tenant, rows=statements.FILES, one=statements.FILE)
    return answers.json(page_of([file_of(row) for row in rows], has_more=more))


async def get_file(context: Context, request: Request) -> Response:
    """`GET /v1/files/{id}`."""
    principal = await _principal(context, request, "files:read")
    return answers.json(file_of(await _file(context, principal, request)))


async def get_content(context: Context, request: Request) -> Response:
    """`GET /v1/files/{id}/content`: piece by piece."""
    principal = await _principal(context, request, "files:read")
    row = await _file(context, principal, request)
    # Never shown by a browser as a page of ours: what is in it is the tenant's.
    headers = {"Content-Length": str(row["bytes"]), "Content-Disposition": "attachment"}
    if request.method == "HEAD":
        return Response(headers=headers, media_type="application/octet-stream")
    return StreamingResponse(
        storage.pieces(context.db, row["id"]), headers=headers, media_type="application/octet-stream"
    )


async def delete_file(context: Context, request: Request) -> Response:
    """`DELETE /v1/files/{id}`."""
    principal = await _principal(context, request, "files:write")
    file = _id(request)
    await services.delete_file(context.db, tenant=principal.tenant, file=file)
    return answers.json({"id": shown(FILE, file), "object": "file", "deleted": True})


async def _principal(context: Context, request: Request, scope: str) -> Principal:
    principal = await context.directory.principal(request.headers.get("authorization"))
    principal.require(scope)
    return principal


def _id(request: Request) -> uuid.UUID:
    file = row_of(FILE, request.path_params["id"])
    if file is None:
        raise not_found("file")
    return file


async def _file(context: Context, principal: Principal, request: Request) -> Row:
    row = await context.db.one(statements.FILE, principal.tenant, _id(request))
    if row is None:
        raise not_found("file")
    return row
