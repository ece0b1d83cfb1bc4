"""The first step of a batch: its file's lines become rows, or the file is none of JSON lines and the batch fails."""

from __future__ import annotations

from typing import Any

import msgspec
from django.conf import settings

from agents.faces.context import Context
from agents.faces.database import Row
from batches import statements
from batches.jsonl import NotJsonl, RawLine, Splitter
from batches.lifecycle import BatchState, sources
from batches.lines import duplicate, read
from batches.runner.announcing import announce_end
from batches.runner.ended_lines import forget_lines
from batches.storage import pieces
from tenants.identifiers import new_id

GROUP = 500
ERRORS_SHOWN = 20


async def validate(context: Context, batch: Row) -> None:
    """Write the lines that are not there yet, and begin; twice does no harm."""
    splitter = Splitter(line_max=context.body_limit, lines_max=settings.OPSITE_BATCH_MAX_LINES)
    lines = _Lines(context, batch)
    try:
        async for piece in pieces(context.db, batch["input_file_id"]):
            for line in splitter.push(piece):
                await lines.add(line)
        for line in splitter.end():
            await lines.add(line)
    except NotJsonl as error:
        await _fail(context, batch, [_error("invalid_file", error.message, error.line)])
        return
    if not lines.found_object:
        await _fail(context, batch, lines.errors)
        return
    await lines.flush()
    await context.db.run(statements.BEGIN, batch["id"], batch["id"], batch["holder"], sources(BatchState.IN_PROGRESS))


class _Lines:
    """Rows in the making, written in groups."""

    def __init__(self, context: Context, batch: Row) -> None:
        self._context, self._batch = context, batch
        self._group: list[dict[str, Any]] = []
        self._seen: set[str] = set()
        self.found_object = False
        self.errors: list[dict[str, Any]] = []

    async def add(self, line: RawLine) -> None:
        found = read(line.data, endpoint=self._batch["endpoint"])
        failure = found.failure
        if failure is None and found.custom_id in self._seen:
            failure = duplicate(found.custom_id)
        elif failure is None and found.custom_id is not None:
            self._seen.add(found.custom_id)
        self.found_object |= found.is_object
        if failure is not None and len(self.errors) < ERRORS_SHOWN:
            self.errors.append(_error(**failure["error"], line=line.number))
        row = {
            "id": new_id(),
            "number": line.number,
            "offset": line.offset,
            "length": len(line.data),
            "custom_id": found.custom_id,
        }
        self._group.append(row if failure is None else {**row, "failure": failure})
        if len(self._group) >= GROUP:
            await self.flush()

    async def flush(self) -> None:
        rows = msgspec.json.encode(self._group).decode()
        await self._context.db.run(statements.ADD_LINES, rows, self._batch["id"], self._batch["holder"])
        self._group.clear()


async def _fail(context: Context, batch: Row, errors: list[dict[str, Any]]) -> None:
    async with context.db.connection() as connection, connection.transaction():
        encoded = msgspec.json.encode(errors).decode()
        arguments = [encoded, batch["id"], batch["holder"], sources(BatchState.FAILED)]
        row = await (await connection.execute(statements.FAIL, arguments)).fetchone()
        if row is not None:
            await announce_end(connection, row)
    if row is not None:
        await forget_lines(context.db, batch["id"])


def _error(code: str, message: str, line: int | None) -> dict[str, Any]:
    return {"code": code, "message": message, "param": None, "line": line}
