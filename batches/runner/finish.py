"""The last step of a batch: what became of its lines is written to its files, in the order of the lines, and its rows go."""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter

from agents.faces.context import Context
from agents.faces.database import Row
from batches import statements
from batches.endpoints import ENDPOINTS
from batches.identifiers import BATCH, shown
from batches.lifecycle import BatchState, sources
from batches.runner.announcing import announce_end
from batches.runner.ended_lines import forget_lines
from batches.runner.results import CANCELLED, EXPIRED, result_of
from batches.storage import Writer, expiry_s

PAGE = 200
PAGE_BYTES = 4 * 1024 * 1024
"""Of answers that are in memory at once, but for the last line's."""


async def finish(context: Context, batch: Row) -> None:
    """Write the files and end the batch. If another process has done so meanwhile, nothing of ours stays."""
    output, errors = _Results(context, batch, "output"), _Results(context, batch, "errors")
    is_cancelled = batch["state"] == BatchState.CANCELLING
    stopped = CANCELLED if is_cancelled else EXPIRED if batch["is_over"] else None
    ended = False
    try:
        is_expired, number = False, 0
        while rows := await context.db.all(
            statements.RESULTS, batch=batch["id"], after=number, lines=PAGE, bytes=PAGE_BYTES
        ):
            for _, tasks in groupby(rows, key=itemgetter("number")):
                result = result_of(list(tasks), ENDPOINTS[batch["endpoint"]], stopped=stopped)
                await (output if result.is_answer else errors).write(result.text)
                is_expired |= result.is_expired
            number = rows[-1]["number"]
        await output.flush()
        await errors.flush()
        end = BatchState.CANCELLED if is_cancelled else BatchState.EXPIRED if is_expired else BatchState.COMPLETED
        ended = await _end(context, batch, end, output, errors)
    finally:
        if not ended:
            await output.drop()
            await errors.drop()
    if ended:
        await forget_lines(context.db, batch["id"])


class _Results:
    """One of a batch's files; made by its first line."""

    def __init__(self, context: Context, batch: Row, kind: str) -> None:
        self._writer = Writer(context.db, batch["tenant_id"])
        self._filename = f"{shown(BATCH, batch['id'])}_{kind}.jsonl"

    async def write(self, text: bytes) -> None:
        if not self._writer.bytes:
            await self._writer.begin(filename=self._filename, purpose="batch_output")
        await self._writer.write(text)

    async def flush(self) -> None:
        await self._writer.flush()

    async def drop(self) -> None:
        await self._writer.drop()

    @property
    def file(self) -> Writer | None:
        return self._writer if self._writer.bytes else None


async def _end(context: Context, batch: Row, end: BatchState, output: _Results, errors: _Results) -> bool:
    """The batch's end, in one transaction with all that comes with it."""
    files = [None if one.file is None else one.file.file for one in (output, errors)]
    async with context.db.connection() as connection, connection.transaction():
        arguments = [end, *files, batch["id"], batch["holder"], sources(end)]
        row = await (await connection.execute(statements.END, arguments)).fetchone()
        if row is None:
            return False
        for file in files:
            if file is not None:
                stays_s = expiry_s(batch["output_expires_after_s"])
                await connection.execute(statements.PROCESSED, [stays_s, batch["tenant_id"], file])
        await announce_end(connection, row)
    return True
