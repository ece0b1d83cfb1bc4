"""The HNSW index against a comparison with all chunks: it finds the same, and enough of a small collection among large ones."""

from __future__ import annotations

import random
import uuid
from collections.abc import AsyncIterator

import msgspec
import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from django.utils import timezone

from agents.faces.context import Context
from agents.faces.database import Row
from knowledge import search
from knowledge.models import Chunk, Collection, Document
from tests.conftest import ADDRESSES
from tests.scene import Party, Scene

LENGTH = 256
LARGE, SMALL = 1500, 60
K = 10
QUERIES = 20


@pytest.fixture
def scene(transactional_db: None) -> Scene:
    return Scene.make()


@pytest.fixture
async def context(database_url: str) -> AsyncIterator[Context]:
    made = await Context.start(database_url=database_url, redis_url=ADDRESSES.redis_url, body_limit=1 << 20)
    yield made
    await made.close()


def vector(chance: random.Random) -> list[float]:
    """Of 40 directions' neighbourhoods, as texts lie: not one evenly filled ball."""
    centre = random.Random(chance.randrange(40))
    return [centre.gauss(0, 1) + chance.gauss(0, 0.6) for _ in range(LENGTH)]


def fill(party: Party, scene: Scene, slug: str, count: int, chance: random.Random) -> Collection:
    collection = Collection.objects.create(
        tenant=party.tenant, slug=slug, name=slug, pool=scene.pool, dimensions=LENGTH, model="simulated"
    )
    documents = [
        Document(
            tenant=party.tenant, collection=collection, title=f"{slug} {number}", text="x", metadata={"odd": bool(number % 2)},
            uploaded_at=timezone.now(), state=Document.State.READY,
        )
        for number in range(10)
    ]  # fmt: skip
    Document.objects.bulk_create(documents)
    Chunk.objects.bulk_create(
        Chunk(
            tenant=party.tenant, collection=collection, document=documents[number % 10], number=number + 1, start=0, stop=1,
            text="x", dimensions=LENGTH, embedding=vector(chance),
        )
        for number in range(count)
    )  # fmt: skip
    return collection


def exact(collection: Collection, query: list[float], k: int, *, odd: bool | None = None) -> list[tuple[str, int]]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT d.title, c.number FROM knowledge_chunk c JOIN knowledge_document d ON d.id = c.document_id "
            "WHERE c.collection_id = %s AND (%s::text IS NULL OR d.metadata->>'odd' = %s) "
            "ORDER BY (c.embedding <=> %s::vector) + 0 LIMIT %s",
            [collection.pk, odd if odd is None else str(odd).lower(), str(odd).lower(), str(query), k],
        )
        return list(cursor.fetchall())


def plan(collection: Collection, query: list[float]) -> str:
    with connection.cursor() as cursor:
        cursor.execute(
            f"EXPLAIN {search.nearest(LENGTH, K, by_metadata=False)}",
            {"vector": str(query), "tenant": collection.tenant_id, "collection": collection.pk},
        )
        return "\n".join(row[0] for row in cursor.fetchall())


def row_of(collection: Collection) -> Row:
    return {"id": collection.pk, "dimensions": LENGTH}


def found(rows: list[Row]) -> list[tuple[str, int]]:
    return [(row["title"], row["chunk"]) for row in rows]


async def test_the_index_finds_what_a_whole_comparison_finds(context: Context, scene: Scene) -> None:
    chance = random.Random(7)
    large = await sync_to_async(fill)(scene.ann, scene, "large", LARGE, chance)
    small = await sync_to_async(fill)(scene.bob, scene, "small", SMALL, chance)
    await sync_to_async(analyse)()
    queries = [vector(chance) for _ in range(QUERIES)]
    assert "chunk_near_256" in await sync_to_async(plan)(large, queries[0])
    same = 0
    for query in queries:
        rows = await search._rows(context, large.tenant_id, row_of(large), query, k=K, metadata={})
        assert [row["score"] for row in rows] == sorted((row["score"] for row in rows), reverse=True)
        same += len({*found(rows)} & {*await sync_to_async(exact)(large, query, K)})
        # The small one is 4% of the table: without going on, the index's candidates would be nearly all the large one's.
        rows = await search._rows(context, small.tenant_id, row_of(small), query, k=K, metadata={})
        assert found(rows) == await sync_to_async(exact)(small, query, K)
        odd = await search._rows(context, small.tenant_id, row_of(small), query, k=K, metadata={"odd": True})
        assert found(odd) == await sync_to_async(exact)(small, query, K, odd=True)
    assert same / (K * QUERIES) >= 0.95


async def test_the_index_goes_on_among_others_and_what_it_gives_up_is_completed(context: Context, scene: Scene) -> None:
    """The planner kept from sorting, so that the small collection has to come out of the index, too."""
    chance = random.Random(8)
    await sync_to_async(fill)(scene.ann, scene, "large", LARGE, chance)
    small = await sync_to_async(fill)(scene.bob, scene, "small", SMALL, chance)
    await sync_to_async(analyse)()
    query = vector(chance)
    statement = search.nearest(LENGTH, K, by_metadata=False)
    arguments = {"vector": msgspec.json.encode(query).decode(), "tenant": small.tenant_id, "collection": small.pk}
    counts = {}
    for scan in ("off", "strict_order"):
        async with context.db.connection() as one, one.transaction():
            await one.execute(search.SETTINGS, ["10"])
            await one.execute("SELECT set_config('hnsw.iterative_scan', %s, true)", [scan])
            await one.execute("SET LOCAL enable_sort = off")
            await one.execute("SET LOCAL enable_bitmapscan = off")
            await one.execute("SET LOCAL enable_seqscan = off")
            explained = await (await one.execute(f"EXPLAIN {statement}", arguments, prepare=False)).fetchall()
            assert "chunk_near_256" in str(explained)
            counts[scan] = len(await (await one.execute(statement, arguments, prepare=False)).fetchall())
    assert counts["off"] < K == counts["strict_order"]
    # More than there are: the whole collection is compared, and gives all that it has.
    rows = await search._rows(context, small.tenant_id, row_of(small), query, k=100, metadata={})
    assert len(rows) == SMALL


async def test_nobody_searches_another_s(context: Context, scene: Scene) -> None:
    chance = random.Random(9)
    theirs = await sync_to_async(fill)(scene.ann, scene, "theirs", 20, chance)
    query = vector(chance)
    assert await search._rows(context, scene.bob.tenant.pk, row_of(theirs), query, k=5, metadata={}) == []
    assert await context.db.one(search.COLLECTION, scene.bob.tenant.pk, "theirs") is None
    assert await context.db.one(search.COLLECTION, uuid.uuid4(), "theirs") is None


def analyse() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE knowledge_chunk")
