"""What is over goes: files at their time, their content in short statements, rows some time after."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import openai
import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from batches import storage
from batches.identifiers import BATCH, row_of
from batches.models import Batch, File, FileChunk, Line
from batches.runner.tidy import tidy
from batches.storage import CHUNK_BYTES, EMPTIED_AT_ONCE, Writer
from opsite.jobs import retention
from tests.batches.conftest import Service, begin, counts, ended, jsonl, line, until

pytestmark = pytest.mark.timeout(90)


async def pieces(service: Service) -> int:
    return await FileChunk.objects.for_tenant(service.scene.ann.tenant).acount()


async def answered(service: Service, client: openai.AsyncOpenAI, **more: Any) -> Any:
    batch = await begin(client, jsonl(line(1)), **more)
    (turn,) = await service.worker.claim()
    await service.worker.end(turn, "Hi.")
    done = await ended(client, batch)
    assert counts(done) == (1, 1, 0)
    return done


async def test_what_a_batch_writes_stays_as_long_as_it_was_asked_to(
    service: Service, ann: openai.AsyncOpenAI, settings: Any
) -> None:
    service.run()
    for days, more, stays_s in (
        (30, {}, 30 * 86400),
        (0, {}, None),
        (0, {"output_expires_after": {"anchor": "created_at", "seconds": 7200}}, 7200),
    ):
        settings.OPSITE_FILE_DAYS = days
        done = await answered(service, ann, **more)
        output = await ann.files.retrieve(done.output_file_id)
        assert output.expires_at == (None if stays_s is None else output.created_at + stays_s)
        given = await ann.files.retrieve(done.input_file_id)
        assert given.expires_at == (given.created_at + days * 86400 if days else None)


async def test_the_content_of_a_long_file_goes_a_few_pieces_at_a_time(service: Service) -> None:
    """A process may die between two statements: who comes after goes on. A file that nobody deleted stays."""
    db, tenant = service.context.db, service.scene.ann.tenant
    kept, gone = Writer(db, tenant.pk), Writer(db, tenant.pk)
    for writer, count in ((kept, 1), (gone, EMPTIED_AT_ONCE + 3)):
        await writer.begin(filename="x", purpose="batch")
        await writer.finish()
        await FileChunk.objects.abulk_create(
            [
                FileChunk(tenant=tenant, file_id=writer.file, number=number, data=bytes(CHUNK_BYTES // 64))
                for number in range(count)
            ]
        )
    await storage.empty(db, kept.file)
    assert await pieces(service) == EMPTIED_AT_ONCE + 4
    files = File.objects.for_tenant(tenant)
    await files.filter(pk=gone.file).aupdate(deleted_at=timezone.now())
    row = await db.one("SELECT count(*) AS pieces FROM batches_filechunk WHERE file_id = %s", gone.file)
    assert row == {"pieces": EMPTIED_AT_ONCE + 3}
    await tidy(db)
    assert await pieces(service) == 1
    assert [file.emptied_at is not None async for file in files.order_by("id")] == [False, True]


async def test_lines_that_a_process_left_when_it_died_go(service: Service, ann: openai.AsyncOpenAI) -> None:
    service.run()
    done = await answered(service, ann)
    tenant = service.scene.ann.tenant
    row = await Batch.objects.for_tenant(tenant).aget(pk=row_of(BATCH, done.id))
    common: dict[str, Any] = {"tenant": tenant, "offset": 0, "length": 1, "state": "ended", "failure": {}}
    left = Line.objects.for_tenant(tenant)
    await left.abulk_create([Line(batch=row, number=number, **common) for number in range(1001, 2102)])
    waiting = await begin(ann, jsonl(line(2)))
    await until(ann, waiting, lambda now: now.status == "in_progress")
    await tidy(service.context.db)
    assert [one.batch_id async for one in left] == [row_of(BATCH, waiting.id)]
    (turn,) = await service.worker.claim()
    await service.worker.end(turn, "Hi.")
    assert counts(await ended(ann, waiting)) == (1, 1, 0)


async def test_batches_that_ended_long_ago_are_forgotten(
    service: Service, ann: openai.AsyncOpenAI, settings: Any
) -> None:
    service.run()
    old, new = await answered(service, ann), await answered(service, ann)
    tenant = service.scene.ann.tenant
    for file in (old.input_file_id, new.output_file_id):
        await ann.files.delete(file)
    long_ago = timezone.now() - timedelta(days=settings.OPSITE_BATCH_HISTORY_DAYS, seconds=1)
    batches, files = Batch.objects.for_tenant(tenant), File.objects.for_tenant(tenant)
    row = await batches.aget(pk=row_of(BATCH, old.id))
    await batches.filter(pk=row.pk).aupdate(ended_at=long_ago)
    await files.filter(emptied_at__isnull=False).aupdate(emptied_at=long_ago)
    await Line.objects.acreate(tenant=tenant, batch=row, number=1, offset=0, length=1, state="ended", failure={})
    under_way = await begin(ann, jsonl(line(2)))
    gone = await sync_to_async(retention)()
    assert (gone["batches"], gone["files"]) == (1, 1)  # of the other deleted file a batch still speaks
    with pytest.raises(openai.NotFoundError):
        await ann.batches.retrieve(old.id)
    assert (await ann.batches.retrieve(new.id)).id == new.id
    assert await ann.files.content(old.output_file_id)  # it has a time of its own
    (turn,) = await service.worker.claim()
    await service.worker.end(turn, "Hi.")
    assert counts(await ended(ann, under_way)) == (1, 1, 0)
