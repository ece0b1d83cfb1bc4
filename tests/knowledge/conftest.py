"""Web process, embedding worker and chore as real processes; a tenant's application that speaks of knowledge."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from orchestrator.models import Pool
from tests.faces import conftest as faces
from tests.faces.conftest import PATIENCE_S, Web
from tests.faces.embedder import embedding_pool, start_embedder
from tests.scene import Party

live_scene, start, web = faces.live_scene, faces.start, faces.web


@pytest.fixture
def server() -> str:
    return "daphne"


@pytest.fixture
def minilm(transactional_db: None) -> Pool:
    return embedding_pool()


@pytest.fixture
def embedder(minilm: Pool, redis_url: str) -> Iterator[None]:
    """A worker of that pool."""
    worker = start_embedder(minilm, redis_url)
    yield
    worker.terminate()
    worker.wait(30)


class Application:
    """A tenant's calls about knowledge, by REST."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        self.http = httpx.Client(base_url=f"{url}/api/v1", headers=headers, timeout=PATIENCE_S)

    def call(self, method: str, path: str, status: int, **more: Any) -> Any:
        answer = self.http.request(method, path, **more)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    def make(self, slug: str, pool: str, **more: Any) -> Any:
        return self.call("POST", "/collections", 201, json={"slug": slug, "pool": pool, **more})

    def put(self, slug: str, title: str, text: str, status: int = 201, **more: Any) -> Any:
        return self.call("POST", f"/collections/{slug}/documents", status, json={"title": title, "text": text, **more})

    def find(self, slug: str, query: str, **more: Any) -> list[Any]:
        found: list[Any] = self.call("POST", f"/collections/{slug}/search", 200, json={"query": query, **more})[
            "results"
        ]
        return found

    def until_settled(self, slug: str) -> dict[str, Any]:
        """The documents by title, when none waits any more."""
        deadline = time.monotonic() + 2 * PATIENCE_S  # several processes may have to start for it
        while True:
            rows = self.call("GET", f"/collections/{slug}/documents", 200, params={"page_size": 200})["results"]
            if not any(row["state"] in ("waiting", "ingesting") for row in rows):
                return {row["title"]: row for row in rows}
            assert time.monotonic() < deadline, rows
            time.sleep(0.05)


@pytest.fixture
def speak(web: Web) -> Iterator[Callable[[Party], Application]]:
    """Makes a party's application."""
    made: list[Application] = []

    def make(party: Party) -> Application:
        made.append(Application(web.url, party.headers))
        return made[-1]

    yield make
    for application in made:
        application.http.close()


@pytest.fixture
def ann(web: Web, speak: Callable[[Party], Application]) -> Application:
    return speak(web.scene.ann)
