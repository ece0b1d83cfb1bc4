"""From documents to answers with the real small model: real web process, embedding worker and chore."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable
from subprocess import Popen
from typing import Any

import pytest

from agents.models import Task
from knowledge.ingest import TEXTS_PER_TASK
from knowledge.models import Chunk, Document, EmbeddingTask
from orchestrator.models import Pool
from tests.faces.conftest import PATIENCE_S, Web
from tests.faces.embedder import start_embedder
from tests.knowledge.conftest import Application
from tests.knowledge.corpus import DOCUMENTS
from tests.scene import Party

pytestmark = [pytest.mark.timeout(170)]
Start = Callable[..., Popen[bytes]]


def test_a_question_finds_the_right_document(
    web: Web, ann: Application, speak: Callable[[Party], Application], minilm: Pool, embedder: None, start: Start
) -> None:
    made = ann.make("guide", minilm.slug, name="The guide", chunk_size=100, chunk_overlap=10)
    assert (made["dimensions"], made["indexed"]) == (None, False)
    assert ann.find("guide", "anything?") == []  # and nothing is embedded for it
    for title, (text, _) in DOCUMENTS.items():
        said = ann.put("guide", title, text, metadata={"letter": title[0]})
        assert (said["state"], said["version"]) == ("waiting", 1)
    start("effects")
    start("record")
    documents = ann.until_settled("guide")
    assert {row["state"] for row in documents.values()} == {"ready"}
    assert {row["measured_in"] for row in documents.values()} == {"tokens"}
    assert {row["chunk_count"] for row in documents.values()} == {1}
    assert 10 < documents["Bread"]["tokens"] < 40
    collection = ann.call("GET", "/collections/guide", 200)
    assert (collection["dimensions"], collection["indexed"]) == (384, True)
    for title, (text, question) in DOCUMENTS.items():
        first, second = ann.find("guide", question, k=2)
        assert first["document"] == {
            "id": documents[title]["id"], "title": title, "metadata": {"letter": title[0]}
        }  # fmt: skip
        assert (first["text"], first["place"]) == (text, {"chunk": 1, "start": 0, "stop": len(text)})
        assert 1 >= first["score"] > second["score"]
    chess = ann.find("guide", DOCUMENTS["Bread"][1], metadata={"letter": "C"})
    assert {hit["document"]["title"] for hit in chess} == {"Chess", "Coffee"}

    # Another tenant has neither the collection nor its texts, under the same name nothing of it.
    bob = speak(web.scene.bob)
    for method, path in (("GET", "/collections/guide"), ("POST", "/collections/guide/search")):
        bob.call(method, path, 404, json={"query": "bread"} if method == "POST" else None)
    bob.make("guide", minilm.slug)
    bob.put("guide", "Mine", "A bakery sells loaves of bread.")
    bob.until_settled("guide")
    assert [hit["document"]["title"] for hit in bob.find("guide", "How do I bake a loaf?", k=10)] == ["Mine"]

    # A replacement is found as a whole, and what it replaced no more.
    again = ann.put("guide", "Bread", "Rye sourdough needs a starter and patience.", status=200)
    assert (again["id"], again["version"]) == (documents["Bread"]["id"], 2)
    replaced = ann.until_settled("guide")["Bread"]
    assert (replaced["state"], replaced["chunk_count"]) == ("ready", 1)
    assert ann.find("guide", "How do I bake a loaf?", k=1)[0]["text"].startswith("Rye")
    ann.call("DELETE", f"/documents/{replaced['id']}", 204)
    ann.call("GET", f"/documents/{replaced['id']}", 404)
    assert "Bread" not in {hit["document"]["title"] for hit in ann.find("guide", "Rye sourdough", k=50)}
    ann.call("DELETE", "/collections/guide", 204)
    assert not Chunk.objects.for_tenant(web.scene.ann.tenant).exists()
    assert bob.find("guide", "bread")


def test_a_killed_process_goes_on(web: Web, ann: Application, minilm: Pool, start: Start, redis_url: str) -> None:
    """Killed while its document's first chunks wait to be embedded; another takes it up, and embeds nothing twice."""
    ann.make("book", minilm.slug, chunk_size=20, chunk_overlap=0)
    text = "\n\n".join(f"Chapter {number}. {text}" for number in range(4) for text, _ in DOCUMENTS.values())
    ann.put("book", "All", text)
    effects = start("effects")
    tasks = Task.objects.for_tenant(web.scene.ann.tenant).order_by("created_at")
    until(tasks.exists)  # nobody serves the pool, so it goes no further
    effects.send_signal(signal.SIGKILL)
    effects.wait()
    documents = Document.objects.for_tenant(web.scene.ann.tenant)
    document = documents.get()
    assert (document.state, document.chunk_count) == ("ingesting", 0)
    documents.update(lease_until=document.uploaded_at)  # which need not be waited for here
    start("effects")
    start("record")
    worker = start_embedder(minilm, redis_url)
    try:
        ready = ann.until_settled("book")["All"]
        count = ready["chunk_count"]
        assert (ready["state"], count > 80) == ("ready", True)
        numbers = Chunk.objects.for_tenant(web.scene.ann.tenant).values_list("number", flat=True)
        assert sorted(numbers) == list(range(1, count + 1))
        assert tasks.count() == math.ceil(count / TEXTS_PER_TASK)
        until(lambda: not EmbeddingTask.objects.for_tenant(web.scene.ann.tenant).exists())
        assert set(tasks.values_list("state", "output")) == {
            ("succeeded", "")
        }  # the chunks have the vectors, and nobody else
        assert "moon" in ann.find("book", "Why does the sea go in and out?", k=1)[0]["text"]
    finally:
        worker.terminate()
        worker.wait(30)


def test_a_text_that_the_model_refuses_fails_and_says_why(
    ann: Application, minilm: Pool, start: Start, embedder: None
) -> None:
    ann.make("wide", minilm.slug, chunk_size=600)
    ann.put("wide", "Long", "water " * 500)
    ann.put("wide", "Short", "water")
    start("effects")
    documents = ann.until_settled("wide")
    assert (documents["Short"]["state"], documents["Long"]["state"]) == ("ready", "failed")
    assert documents["Long"]["error"]["code"] == "context_length_exceeded"
    assert "this model takes 256" in documents["Long"]["error"]["message"]


def until(check: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not check():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
