"""An upload: its file goes from the socket to storage piece by piece, and is checked on the way."""

from __future__ import annotations

import uuid

from django.conf import settings
from starlette.requests import ClientDisconnect, Request

from agents.faces.context import Context
from agents.faces.database import Row
from agents.problems import Problem, bad_field, too_large
from batches import statements
from batches.faces.multipart import Data, Form
from batches.jsonl import FormCheck, NotJsonl
from batches.storage import Writer

FIELD_MAX = 256
FILENAME_MAX = 255
FORM_BYTES = 64 * 1024
"""What a body may hold beside its file."""
EXPIRES_MIN_S, EXPIRES_MAX_S = 3600, 30 * 86400
_ANCHOR, _SECONDS = "expires_after[anchor]", "expires_after[seconds]"


class Upload:
    """One request: `receive` it, once."""

    def __init__(self, context: Context, tenant: uuid.UUID, request: Request) -> None:
        self._context, self._tenant, self._request = context, tenant, request
        self._form = Form(request.headers.get("content-type"))
        self._writer = Writer(context.db, tenant)
        self._check = FormCheck(line_max=context.body_limit, lines_max=settings.OPSITE_BATCH_MAX_LINES)
        self._fields: dict[str, bytearray] = {}
        self._seen_file = False

    async def receive(self) -> Row:
        """The whole file, stored; raises the `Problem` that refuses it, and then leaves nothing."""
        await self._check_room()
        whole = False
        try:
            received = 0
            async for piece in self._request.stream():
                received += len(piece)
                if received > self._limit + FORM_BYTES:
                    raise too_large(self._limit)
                for data in self._form.push(piece):
                    await self._take(data)
            row = await self._finish()
            whole = True
        except NotJsonl as error:
            raise bad_field("file", str(error)) from error
        except ClientDisconnect as error:
            raise Problem(400, "client_left", "The body ended early.") from error
        finally:
            if self._seen_file and not whole:
                await self._writer.drop()
        return row

    @property
    def _limit(self) -> int:
        limit: int = settings.OPSITE_FILE_LIMIT_BYTES
        return limit

    async def _check_room(self) -> None:
        declared = self._request.headers.get("content-length", "0")
        length = int(declared) if declared.isascii() and declared.isdigit() else 0
        if length > self._limit + FORM_BYTES:
            raise too_large(self._limit)
        stored = await self._context.db.one(statements.STORED_BYTES, self._tenant)
        if stored is not None and stored["bytes"] + length > settings.OPSITE_FILES_LIMIT_BYTES:
            raise Problem(
                413,
                "files_full",
                f"This tenant's files may hold {settings.OPSITE_FILES_LIMIT_BYTES} bytes together; delete some first.",
            )

    async def _take(self, piece: Data) -> None:
        part, data = piece.part, piece.data
        if part.name == "file":
            await self._take_file(piece)
        elif part.name in ("purpose", _ANCHOR, _SECONDS):
            value = self._fields.setdefault(part.name, bytearray())
            value += data
            if len(value) > FIELD_MAX:
                raise bad_field(part.name, f"is longer than {FIELD_MAX} bytes")
        else:
            raise bad_field(part.name, "is not supported here")

    async def _take_file(self, piece: Data) -> None:
        filename, data = piece.part.filename, piece.data
        if piece.begins:
            if self._seen_file:
                raise bad_field("file", "there are two; send one at a time")
            if not filename or len(filename) > FILENAME_MAX:
                raise bad_field("file", f"needs a filename of up to {FILENAME_MAX} characters")
            await self._writer.begin(filename=filename, purpose="batch")
            self._seen_file = True
            return
        if self._writer.bytes + len(data) > self._limit:
            raise too_large(self._limit)
        self._check.push(data)
        await self._writer.write(data)

    async def _finish(self) -> Row:
        self._form.end()
        purpose = bytes(self._fields.get("purpose", b"")).decode(errors="replace")
        if purpose != "batch":
            raise bad_field("purpose", f"{purpose!r} is not supported here; only 'batch'" if purpose else "is required")
        if not self._seen_file:
            raise bad_field("file", "is required")
        self._check.end()
        return await self._writer.finish(expires_after_s=self._expires_after_s())

    def _expires_after_s(self) -> int | None:
        if not self._fields.keys() & {_ANCHOR, _SECONDS}:
            return None
        if bytes(self._fields.get(_ANCHOR, b"")) != b"created_at":
            raise bad_field(_ANCHOR, "must be created_at")
        seconds = bytes(self._fields.get(_SECONDS, b"")).decode(errors="replace")
        if not (seconds.isascii() and seconds.isdigit() and EXPIRES_MIN_S <= int(seconds) <= EXPIRES_MAX_S):
            raise bad_field(_SECONDS, f"must be a whole number between {EXPIRES_MIN_S} and {EXPIRES_MAX_S}")
        return int(seconds)
