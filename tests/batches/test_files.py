"""Files by the official client, and what no file is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import httpx
import openai
import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from batches.models import File, FileChunk
from batches.runner.tidy import tidy
from batches.storage import CHUNK_BYTES
from tenants.services import issue_key
from tests.batches.conftest import Service, begin, jsonl, line
from tests.faces.conftest import PATIENCE_S

pytestmark = pytest.mark.timeout(60)


def long_file() -> bytes:
    """Lines over the borders of three pieces."""
    return jsonl(*(line(number, padding="é" * 400) for number in range(CHUNK_BYTES * 3 // 1000)))


async def until_stored(service: Service, check: Callable[[tuple[int, int]], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not check(await stored(service)):  # noqa: ASYNC110 - it happens in Postgres
            await asyncio.sleep(0.01)


async def stored(service: Service) -> tuple[int, int]:
    """How many files of hers there are, and how many pieces."""
    tenant = service.scene.ann.tenant
    return await File.objects.for_tenant(tenant).acount(), await FileChunk.objects.for_tenant(tenant).acount()


async def test_from_upload_to_deletion(service: Service, ann: openai.AsyncOpenAI) -> None:
    data = long_file()
    file = await ann.files.create(file=("lines.jsonl", data), purpose="batch")
    assert (file.object, file.bytes, file.filename) == ("file", len(data), "lines.jsonl")
    assert (file.purpose, file.status) == ("batch", "processed")
    assert file.expires_at == file.created_at + 30 * 86400  # as the settings say
    assert await ann.files.retrieve(file.id) == file
    assert (await ann.files.content(file.id)).content == data
    pieces = FileChunk.objects.for_tenant(service.scene.ann.tenant)
    assert [len(piece.data) async for piece in pieces] == [CHUNK_BYTES] * (len(data) // CHUNK_BYTES) + [
        len(data) % CHUNK_BYTES
    ]
    gone = await ann.files.delete(file.id)
    assert (gone.id, gone.deleted) == (file.id, True)
    for call in (ann.files.retrieve, ann.files.content, ann.files.delete):
        with pytest.raises(openai.NotFoundError):
            await call(file.id)
    assert await stored(service) == (1, 0)  # its row stays, since batches may name it


def by_the_plain_client(url: str, key: str) -> None:
    with openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0) as client:
        file = client.files.create(file=("x.jsonl", jsonl(line(1))), purpose="batch")
        assert client.files.content(file.id).content == jsonl(line(1))
        batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
        assert client.batches.retrieve(batch.id) == batch
        assert [one.id for one in client.batches.list()] == [batch.id]
        assert [one.id for one in client.files.list(purpose="batch")] == [file.id]
        assert client.batches.cancel(batch.id).status == "cancelling"


async def test_by_the_client_that_is_not_async(service: Service) -> None:
    await asyncio.to_thread(by_the_plain_client, service.url, service.scene.ann.key)


async def test_lists(ann: openai.AsyncOpenAI, bob: openai.AsyncOpenAI) -> None:
    made = [(await ann.files.create(file=(f"{number}", jsonl(line(1))), purpose="batch")).id for number in range(5)]
    assert [file.id async for file in ann.files.list(limit=2)] == made[::-1]
    assert [file.id async for file in ann.files.list(limit=2, order="asc", after=made[1])] == made[2:]
    assert [file async for file in ann.files.list(purpose="batch_output")] == []
    assert [file async for file in bob.files.list()] == []
    for asked, name in (({"limit": 0}, "limit"), ({"order": "x"}, "order"), ({"purpose": "x"}, "purpose")):
        with pytest.raises(openai.BadRequestError) as refused:
            await ann.files.list(**asked)  # type: ignore[arg-type]
        assert refused.value.param == name


async def test_another_tenants_file_is_no_file(ann: openai.AsyncOpenAI, bob: openai.AsyncOpenAI) -> None:
    file = await ann.files.create(file=("x", jsonl(line(1))), purpose="batch")
    for call in (bob.files.retrieve, bob.files.content, bob.files.delete):
        with pytest.raises(openai.NotFoundError):
            await call(file.id)
    assert (await ann.files.content(file.id)).content == jsonl(line(1))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "holds no line"),
        (b" \n\r\n", "holds no line"),
        (b"{}\n\xff\n", "line 2: it is not UTF-8"),
        (b"{}\n{}\n" + b"x" * 3000, "line 3: it is longer than"),
        (b"x" * 3000 + b"\n", "line 1: it is longer than"),
        (b"{}\n" * 6, "line 6: a batch has at most 5 lines"),
    ],
)
async def test_what_is_no_file_of_lines(
    service: Service, ann: openai.AsyncOpenAI, settings: Any, data: bytes, said: str
) -> None:
    settings.OPSITE_BATCH_MAX_LINES = 5
    object.__setattr__(service.context, "body_limit", 2000)
    with pytest.raises(openai.BadRequestError, match=said) as refused:
        await ann.files.create(file=("x", data), purpose="batch")
    assert refused.value.param == "file"
    assert await stored(service) == (0, 0)


async def test_forms_that_are_refused(service: Service, ann: openai.AsyncOpenAI) -> None:
    good: dict[str, Any] = {"file": ("x", jsonl(line(1))), "purpose": "batch"}
    for more, name in [
        ({"purpose": "assistants"}, "purpose"),
        ({"extra_body": {"store": "yes"}}, "store"),
        ({"expires_after": {"anchor": "created_at", "seconds": 10}}, "expires_after[seconds]"),
        ({"expires_after": {"anchor": "now", "seconds": 3600}}, "expires_after[anchor]"),
        ({"file": ("x" * 256, b"{}")}, "file"),
    ]:
        with pytest.raises(openai.BadRequestError) as refused:
            await ann.files.create(**{**good, **more})
        assert refused.value.param == name
    async with httpx.AsyncClient(base_url=service.url, headers=service.scene.ann.headers) as plain:
        for body in (
            {"json": {}},
            {"content": b"--x\r\nbroken", "headers": {"content-type": "multipart/form-data; boundary=x"}},
            {
                "content": b'--x\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n{}\n',
                "headers": {"content-type": "multipart/form-data; boundary=x"},
            },
        ):
            answer = await plain.post("/v1/files", **body)  # type: ignore[arg-type]
            assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_multipart")
        for parts, name in (({"purpose": (None, "batch")}, "file"), ({"file": ("x", b"{}\n")}, "purpose")):
            answer = await plain.post("/v1/files", files=parts)
            assert answer.json()["error"]["param"] == name
    assert await stored(service) == (0, 0)


async def test_the_sender_that_goes_leaves_nothing(service: Service) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
        for _ in range(3):
            yield b"{}" + b" " * (CHUNK_BYTES - 3) + b"\n"
        await until_stored(service, lambda now: now[1] >= 2)  # it is stored while it comes
        raise ConnectionAbortedError

    headers = {**service.scene.ann.headers, "content-type": "multipart/form-data; boundary=x"}
    async with httpx.AsyncClient(base_url=service.url, headers=headers, timeout=30) as plain:
        with pytest.raises(ConnectionAbortedError):
            await plain.post("/v1/files", content=body())
    await until_stored(service, lambda now: now == (0, 0))


async def test_bounds(service: Service, ann: openai.AsyncOpenAI, settings: Any) -> None:
    data = long_file()
    settings.OPSITE_FILE_LIMIT_BYTES = len(data) - 1
    with pytest.raises(openai.APIStatusError) as refused:
        await ann.files.create(file=("x", data), purpose="batch")
    assert refused.value.status_code == 413
    assert await stored(service) == (0, 0)
    settings.OPSITE_FILE_LIMIT_BYTES = len(data)
    settings.OPSITE_FILES_LIMIT_BYTES = 2 * len(data)
    file = await ann.files.create(file=("x", data), purpose="batch")
    with pytest.raises(openai.APIStatusError, match="delete some first"):
        await ann.files.create(file=("x", data), purpose="batch")
    await ann.files.delete(file.id)
    await ann.files.create(file=("x", data), purpose="batch")


async def test_a_file_that_a_batch_reads_stays(ann: openai.AsyncOpenAI) -> None:
    batch = await begin(ann, jsonl(line(1)))
    with pytest.raises(openai.ConflictError, match="cancel it or wait"):
        await ann.files.delete(batch.input_file_id)


async def test_files_go_when_their_time_is_over(service: Service, ann: openai.AsyncOpenAI) -> None:
    kept = (await begin(ann, jsonl(line(1)))).input_file_id
    file = await ann.files.create(
        file=("x", jsonl(line(1))), purpose="batch", expires_after={"anchor": "created_at", "seconds": 3600}
    )
    assert file.expires_at == file.created_at + 3600
    rows = File.objects.for_tenant(service.scene.ann.tenant)
    await rows.aupdate(expires_at=timezone.now())
    with pytest.raises(openai.NotFoundError):
        await ann.files.retrieve(file.id)
    await tidy(service.context.db)
    assert [f"file-{row.pk}" async for row in rows.filter(deleted_at=None)] == [kept]  # a batch reads it
    assert await stored(service) == (2, 1)


async def test_uploads_that_broke_off_with_their_process_go(service: Service, ann: openai.AsyncOpenAI) -> None:
    file = await ann.files.create(file=("x", jsonl(line(1))), purpose="batch")
    rows = File.objects.for_tenant(service.scene.ann.tenant)
    await rows.aupdate(state="uploading")
    assert [one async for one in ann.files.list()] == []
    await tidy(service.context.db)
    assert await stored(service) == (1, 1)
    await rows.aupdate(touched_at=timezone.now() - timedelta(minutes=61))
    await tidy(service.context.db)
    assert await stored(service) == (0, 0)
    assert file.id


async def test_scopes(service: Service) -> None:
    issue = sync_to_async(issue_key)
    tenant = service.scene.ann.tenant
    keys = {
        scope: (await issue(tenant=tenant, name=scope, scopes=(scope,))).secret
        for scope in ("files:read", "files:write")
    }
    for scope, key in keys.items():
        async with openai.AsyncOpenAI(base_url=f"{service.url}/v1", api_key=key, max_retries=0) as client:
            upload = client.files.create(file=("x", jsonl(line(1))), purpose="batch")
            calls = {"files:write": upload, "files:read": client.files.list()}
            await calls[scope]
            (other,) = calls.keys() - {scope}
            with pytest.raises(openai.PermissionDeniedError, match=other):
                await calls[other]
