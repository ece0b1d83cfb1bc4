"""The chunks of a collection that are nearest to a query, by cosine similarity: for REST, and for agents' tools.

An HNSW index knows nothing of tenants and collections: it gives candidates in the order of their distance, and those of others
are filtered out after. So it is told to go on until there are enough (pgvector's iterative scan), and where it gives up before,
all chunks of the collection are compared. Where the planner finds a collection small enough, it does so at once: then nothing is
approximate.
"""

from __future__ import annotations

import uuid
from typing import Any, NamedTuple

import msgspec

from agents.faces.context import Context
from agents.faces.database import Row
from agents.faces.openai.embedded import embedded, submit_texts
from agents.faces.openai.lookup import standing_agent
from agents.faces.principals import Principal
from agents.problems import bad_field, not_found
from knowledge.claims import ModelChanged
from taskqueue.vectors import decoded

K_MAX = 100
SEARCHED_MIN, SEARCHED_MAX = 100, 1000
"""Candidates that the index keeps in sight (`hnsw.ef_search`): more find more, and take longer."""

COLLECTION = """
    SELECT c.id, c.dimensions, c.model, p.slug AS pool, p.engine, p.model AS pool_model
    FROM knowledge_collection c JOIN orchestrator_pool p ON p.id = c.pool_id
    WHERE c.tenant_id = %s AND c.slug = %s
"""

SETTINGS = """
    SELECT set_config('hnsw.iterative_scan', 'strict_order', true), set_config('hnsw.ef_search', %s, true),
           set_config('plan_cache_mode', 'force_custom_plan', true)
"""
EXACT = "SELECT set_config('enable_indexscan', 'off', true)"

ANY_METADATA: dict[str, Any] = {}


class Hit(NamedTuple):
    """A chunk that was found. `score` is the cosine of the angle to the query, 1 at most; `start` and `stop` are characters."""

    document: uuid.UUID
    title: str
    metadata: dict[str, Any]
    chunk: int
    start: int
    stop: int
    text: str
    score: float


def model_of(engine: str, model: str) -> str:
    """By what a collection remembers whose vectors it has."""
    return model or engine


def nearest(dimensions: int, k: int, *, by_metadata: bool) -> str:
    """The statement: the numbers stand in it as they are, so that the planner sees them. Takes vector, tenant, collection,
    metadata.
    """
    distance = f"(c.embedding::vector({dimensions:d}) <=> %(vector)s::vector({dimensions:d}))"
    return f"""
        SELECT d.id AS document, d.title, d.metadata, c.number AS chunk, c.start, c.stop, c.text, 1 - {distance} AS score
        FROM knowledge_chunk c JOIN knowledge_document d ON d.id = c.document_id
        WHERE c.tenant_id = %(tenant)s AND c.collection_id = %(collection)s AND c.dimensions = {dimensions:d}
              {"AND d.metadata @> %(metadata)s::jsonb" if by_metadata else ""}
        ORDER BY {distance} LIMIT {k:d}
    """


async def search(
    context: Context,
    principal: Principal,
    slug: str,
    query: str,
    k: int = 5,
    *,
    metadata: dict[str, Any] = ANY_METADATA,
) -> list[Hit]:
    """The nearest `k` chunks of the tenant's collection, the nearest first; of documents that have this `metadata`, if it is given.

    The query is embedded by a task of the principal's. Raises the `Problem` that refuses the search, or that the task's failure is.
    """
    if not 1 <= k <= K_MAX:
        raise bad_field("k", f"must be 1 to {K_MAX}")
    if not query.strip():
        raise bad_field("query", "must not be empty")
    collection = await context.db.one(COLLECTION, principal.tenant, slug)
    if collection is None:
        raise not_found("collection")
    if collection["dimensions"] is None:
        return []  # nothing was ingested yet
    if collection["model"] != (serves := model_of(collection["engine"], collection["pool_model"])):
        raise ModelChanged(was=collection["model"], now=serves)
    vector = await _vector(context, principal, collection, query)
    rows = await _rows(context, principal.tenant, collection, vector, k=k, metadata=metadata)
    return [Hit(**row) for row in rows]


async def _vector(context: Context, principal: Principal, collection: Row, query: str) -> list[float]:
    agent = await standing_agent(context, principal.tenant, collection["pool"])
    submitted = await submit_texts(context, principal, agent, [query])
    (vector,) = (await embedded(submitted)).vectors
    found = decoded(vector)
    if len(found) != collection["dimensions"]:
        raise ModelChanged(was=f"{collection['dimensions']} dimensions", now=f"{len(found)} dimensions")
    return found


async def _rows(
    context: Context,
    tenant: uuid.UUID,
    collection: Row,
    vector: list[float],
    *,
    k: int,
    metadata: dict[str, Any],
) -> list[Row]:
    statement = nearest(collection["dimensions"], k, by_metadata=bool(metadata))
    arguments = {
        "vector": msgspec.json.encode(vector).decode(),
        "tenant": tenant,
        "collection": collection["id"],
        "metadata": msgspec.json.encode(metadata).decode(),
    }
    sight = str(min(SEARCHED_MAX, max(SEARCHED_MIN, 4 * k)))
    async with context.db.connection() as connection, connection.transaction():
        await connection.execute(SETTINGS, [sight])
        rows = await (await connection.execute(statement, arguments, prepare=False)).fetchall()
        if len(rows) < k:  # there are no more, or the index gave up
            await connection.execute(EXACT)
            rows = await (await connection.execute(statement, arguments, prepare=False)).fetchall()
    return rows
