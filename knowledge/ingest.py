"""A chore of `manage.py effects`: documents that wait are cut into chunks, embedded by tasks of their tenant, and made findable.

A document is claimed for a lease, which is renewed while it is worked on; what a killed process held is taken up by another when
the lease is over. The tasks bear idempotency keys that are the same for every process, so what was embedded before is not
embedded again.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from pathlib import Path

from django.conf import settings
from django.db import Error

from agents.django_threads import DjangoThreads
from agents.faces.context import Context
from agents.faces.openai.embedded import embedded, submit_texts
from agents.faces.openai.lookup import standing_agent
from agents.faces.principals import Principal
from agents.problems import Problem
from knowledge import claims, vectors_once
from knowledge.chunking import pieces
from knowledge.claims import ATTEMPTS_MAX, LEASE_S, Claim, ClaimLost, Ingested
from knowledge.models import Document
from knowledge.search import model_of
from knowledge.tokens import spans
from taskqueue.vectors import decoded

log = logging.getLogger(__name__)

AT_ONCE = 128
"""Documents that a process works on at a time. Each has one task under way, and most of its time waits for it."""
TEXTS_PER_TASK = 32
PRIORITY = 8
"""Of the tenant's own tasks those that somebody waits for go first."""
POLL_S = 0.5
THREADS = 4
"""That ask Postgres, each by a connection of its own."""
EMPTY_EVERY_S = 2.0
RETRY_S = 5.0


async def ingest(context: Context, stop: asyncio.Event) -> None:
    """Ingest until `stop` is set; what is not complete by then waits again."""
    async with DjangoThreads("knowledge", count=THREADS) as threads:
        emptying = asyncio.create_task(_empty_spent(threads), name="spent vectors")
        try:
            await _ingest_all(context, stop, threads)
        finally:
            emptying.cancel()
            await asyncio.gather(emptying, return_exceptions=True)


async def _ingest_all(context: Context, stop: asyncio.Event, threads: DjangoThreads) -> None:
    running: set[asyncio.Task[None]] = set()
    try:
        while not stop.is_set():
            held = await threads(claims.claim) if len(running) < AT_ONCE else None
            if held is not None:
                task = asyncio.create_task(_ingest(context, held, threads), name=f"document {held.document.pk}")
                running.add(task)
                task.add_done_callback(running.discard)
                continue
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), POLL_S)
    finally:
        left = list(running)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


async def _ingest(context: Context, held: Claim, threads: DjangoThreads) -> None:
    making = asyncio.create_task(_made(context, held, threads))
    holding = asyncio.create_task(_held(held, threads))
    try:
        await asyncio.wait((making, holding), return_when=asyncio.FIRST_COMPLETED)
        if not making.done():
            raise ClaimLost
        await threads(claims.complete, held, making.result())
    except ClaimLost:
        log.info("document %s was replaced or deleted meanwhile", held.document.pk)
    except Problem as problem:
        await _refused(threads, held, problem)
    except asyncio.CancelledError:
        await threads(claims.give_back, held)
        raise
    except Exception:
        log.exception("document %s: ingestion failed", held.document.pk)
        await _refused(
            threads, held, Problem(500, "internal", "Something went wrong on our side; the error was logged.")
        )
    finally:
        making.cancel()
        holding.cancel()
        await asyncio.gather(making, holding, return_exceptions=True)


async def _empty_spent(threads: DjangoThreads) -> None:
    while True:
        try:
            while await threads(vectors_once.empty_some):
                pass
        except Error:
            log.exception("vectors that are stored twice are emptied later")
        await asyncio.sleep(EMPTY_EVERY_S)


async def _held(held: Claim, threads: DjangoThreads) -> None:
    """Renew the lease; ends when it is lost."""
    while True:
        await asyncio.sleep(LEASE_S / 4)
        if not await threads(claims.renew, held):
            return


async def _refused(threads: DjangoThreads, held: Claim, problem: Problem) -> None:
    """Try again what may pass by itself: limits and outages always, failures of the model a few times."""
    document = held.document
    if problem.status in (429, 503):
        log.info("document %s waits: %s", document.pk, problem.detail)
        await threads(claims.give_back, held, retry_s=problem.retry_after_s or RETRY_S)
    elif problem.status >= 500 and document.attempts + 1 < ATTEMPTS_MAX:
        log.warning("document %s is tried again: %s", document.pk, problem.detail)
        await threads(claims.give_back, held, retry_s=RETRY_S, counts=True)
    else:
        await threads(claims.fail, held, problem)


async def _made(context: Context, held: Claim, threads: DjangoThreads) -> Ingested:
    """The document's chunks with their vectors. Raises the `Problem` that is in the way."""
    document, collection = held.document, held.document.collection
    pool = collection.pool
    principal = await _principal(context, document)
    agent = await standing_agent(context, document.tenant_id, pool.slug, threads=threads)
    tokens, measure = await asyncio.to_thread(
        spans, document.text, model=pool.model, base_folder=settings.BASE_DIR, cache=Path(settings.OPSITE_MODEL_CACHE)
    )
    chunks = pieces(document.text, tokens, size=collection.chunk_size, overlap=collection.chunk_overlap)
    vectors: list[list[float]] = []
    used = 0
    for first in range(0, len(chunks), TEXTS_PER_TASK):
        texts = [document.text[piece.start : piece.stop] for piece in chunks[first : first + TEXTS_PER_TASK]]
        key = f"document:{document.pk}:{document.version}:{document.attempts}:{measure}:{first}"
        submitted = await submit_texts(context, principal, agent, texts, priority=PRIORITY, idempotency_key=key)
        await threads(vectors_once.note, held, task=submitted.task)
        result = await embedded(submitted)
        vectors += [decoded(vector) for vector in result.vectors]
        used += result.prompt_tokens
    return Ingested(chunks, vectors, measure, used, model_of(pool.engine, pool.model))


async def _principal(context: Context, document: Document) -> Principal:
    """The key that uploaded the document; without a valid one nobody answers for the tokens."""
    try:
        if document.api_key_id is not None:
            return await context.directory.principal_of(document.api_key_id)
    except Problem as problem:
        if problem.status != 401:
            raise
    raise Problem(
        409, "key_gone", "The API key that uploaded this document is not valid any more; upload it with another."
    )
