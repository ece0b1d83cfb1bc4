"""One process at a time holds a document; what it makes is written as a whole, or not at all."""

from __future__ import annotations

import pytest
from django.utils import timezone

from agents.models import Task
from agents.problems import Problem
from knowledge.chunking import Piece
from knowledge.claims import PER_TENANT, ClaimLost, Ingested, ModelChanged, claim, complete, fail, give_back, renew
from knowledge.models import Chunk, Collection, Document, EmbeddingTask
from knowledge.services import create_collection, ingest_again, put_document
from knowledge.vectors_once import empty_some, note
from tenants.models import ApiKey
from tests.scene import Scene

TEXT = "One. Two."


@pytest.fixture
def document(scene: Scene) -> Document:
    tenant = scene.ann.tenant
    collection = create_collection(tenant=tenant, slug="guide", name="Guide", pool=scene.pool.slug)
    return put(collection, TEXT)


def put(collection: Collection, text: str) -> Document:
    key = ApiKey.objects.for_tenant(collection.tenant_id).get()
    return put_document(collection=collection, title="T", text=text, api_key=key)[0]


def made(*vectors: list[float], model: str = "m") -> Ingested:
    places = [Piece(0, 4), Piece(5, 9)][: len(vectors)]
    return Ingested(places, vectors, Document.Measure.TOKENS, 7, model)


def chunks(document: Document) -> list[str]:
    return list(Chunk.objects.for_tenant(document.tenant_id).values_list("text", flat=True))


def test_one_claim_at_a_time(document: Document) -> None:
    held = claim()
    assert held is not None
    assert held.document == document
    assert claim() is None
    assert renew(held)
    mine = Document.objects.for_tenant(document.tenant_id)
    mine.update(lease_until=document.uploaded_at)  # its process is gone
    other = claim()
    assert other is not None
    assert not renew(held)
    with pytest.raises(ClaimLost):
        complete(held, made([1.0, 0.0]))
    fail(held, Problem(400, "late", "Too late."))
    give_back(held)
    complete(other, made([1.0, 0.0], [0.0, 1.0]))
    done = mine.get()
    assert (done.state, done.chunk_count, done.tokens, done.lease) == ("ready", 2, 7, None)
    assert chunks(document) == ["One.", "Two."]
    assert claim() is None


def test_a_new_text_takes_the_claim_away_and_the_old_one_is_found_until_it_is_there(document: Document) -> None:
    first = claim()
    assert first is not None
    complete(first, made([1.0, 0.0]))
    put(document.collection, "Another text.")
    second = claim()
    assert second is not None
    assert chunks(document) == ["One."]
    put(document.collection, "A third text.")
    with pytest.raises(ClaimLost):
        complete(second, made([0.0, 1.0]))
    assert chunks(document) == ["One."]
    third = claim()
    assert third is not None
    assert third.document.version == 3
    complete(third, made([0.0, 1.0]))
    assert chunks(document) == ["A th"]


@pytest.mark.parametrize("now", [made([1.0, 0.0, 0.0]), made([1.0, 0.0], model="another")])
def test_vectors_of_two_models_do_not_mix(document: Document, now: Ingested) -> None:
    first = claim()
    assert first is not None
    complete(first, made([1.0, 0.0]))
    put(document.collection, "Another text.")
    second = claim()
    assert second is not None
    with pytest.raises(ModelChanged, match="Make a new collection"):
        complete(second, now)
    assert chunks(document) == ["One."]
    fail(second, Problem(409, "model_changed", "Changed."))
    failed = Document.objects.for_tenant(document.tenant_id).get()
    assert (failed.state, failed.error) == ("failed", {"code": "model_changed", "message": "Changed."})
    assert claim() is None
    assert ingest_again(document=failed)
    assert not ingest_again(document=failed)
    assert claim() is not None


def test_answers_are_kept_as_long_as_their_document_is_under_way(document: Document, scene: Scene) -> None:
    """Emptied are those that have ended, and whose document is ready, failed, replaced or gone; nobody else's."""
    ended = {"state": "succeeded", "output": '["AAA="]', "finished_at": timezone.now()}
    held = claim()
    assert held is not None
    mine, foreign = scene.ann.task(**ended), scene.ann.task(**ended)
    for _ in range(2):
        note(held, task=mine.pk)
    assert empty_some() == 0
    give_back(held)
    assert empty_some() == 0
    held = claim()
    assert held is not None
    complete(held, made([1.0, 0.0]))
    late = scene.ann.task()
    note(held, task=late.pk)
    assert (empty_some(), empty_some()) == (
        1,
        0,
    )  # the late one has not ended yet: the recorder is still to write its answer
    Task.objects.for_tenant(document.tenant_id).filter(pk=late.pk).update(**ended)
    assert empty_some() == 1
    put(document.collection, "Another text.")
    held = claim()
    assert held is not None
    replaced = scene.ann.task(**ended)
    note(held, task=replaced.pk)
    assert empty_some() == 0
    put(document.collection, "A third text.")
    assert empty_some() == 1
    outputs = dict(Task.objects.for_tenant(document.tenant_id).values_list("pk", "output"))
    assert outputs == {mine.pk: "", late.pk: "", replaced.pk: "", foreign.pk: '["AAA="]'}
    assert not EmbeddingTask.objects.for_tenant(document.tenant_id).exists()


def test_what_is_tried_again_waits_its_time(document: Document) -> None:
    held = claim()
    assert held is not None
    give_back(held, retry_s=3600, counts=True)
    waiting = Document.objects.for_tenant(document.tenant_id).get()
    assert (waiting.state, waiting.attempts) == ("waiting", 1)
    assert claim() is None


def test_nobody_waits_behind_another_s_thousands(document: Document, scene: Scene) -> None:
    key = ApiKey.objects.for_tenant(scene.ann.tenant).get()
    for number in range(PER_TENANT + 2):
        put_document(collection=document.collection, title=f"More {number}", text="x", api_key=key)
    other = create_collection(tenant=scene.bob.tenant, slug="other", name="Other", pool=scene.pool.slug)
    for title in ("late", "later"):
        put_document(collection=other, title=title, text="x", api_key=ApiKey.objects.for_tenant(scene.bob.tenant).get())
    taken = []
    while (held := claim()) is not None:
        taken.append(held.document.title)
    assert taken[:4] == ["T", "late", "More 0", "later"]
    assert len(taken) == PER_TENANT + 2  # the rest waits until some are done
