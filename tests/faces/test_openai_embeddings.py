"""The official client's `embeddings`, unchanged, on a real web process and a real model."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Iterator

import httpx
import openai
import pytest
from asgiref.sync import sync_to_async

from agents.models import Task
from agents.services import create_agent
from orchestrator.models import Pool
from taskqueue.vectors import decoded, encoded, strings
from tests.faces.conftest import HandWorker, Web
from tests.faces.embedder import embedding_pool, start_embedder

pytestmark = [pytest.mark.timeout(150), pytest.mark.parametrize("server", ["daphne"], indirect=True)]
TEXTS = ["A man is eating food.", "Somebody has a meal.", "The tide comes in at night."]


@pytest.fixture
async def ann(web: Web) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{web.url}/v1", api_key=web.scene.ann.key, max_retries=0) as client:
        yield client


@pytest.fixture
def minilm(web: Web, redis_url: str) -> Iterator[Pool]:
    pool = embedding_pool()
    worker = start_embedder(pool, redis_url)
    yield pool
    worker.terminate()
    worker.wait(30)


def cosine(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


async def test_real_vectors_by_the_official_client(ann: openai.AsyncOpenAI, minilm: Pool, web: Web) -> None:
    answer = await ann.embeddings.create(model=minilm.slug, input=TEXTS)  # asks for base64 by itself
    assert [one.index for one in answer.data] == [0, 1, 2]
    meal, also_meal, tide = (one.embedding for one in answer.data)
    assert {len(vector) for vector in (meal, also_meal, tide)} == {384}
    assert math.isclose(cosine(meal, meal), 1, abs_tol=1e-5)
    assert cosine(meal, also_meal) > 0.5 > cosine(meal, tide)
    assert (answer.model, answer.object) == (minilm.slug, "list")
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == 8 + 7 + 9
    floats = await ann.embeddings.create(model=minilm.slug, input=TEXTS[0], encoding_format="float", user="u-1")
    assert floats.data[0].embedding == pytest.approx(meal, abs=1e-6)
    assert minilm.slug in {model.id async for model in ann.models.list()}

    await sync_to_async(create_agent)(tenant=web.scene.ann.tenant, slug="embedder", name="x", pool=minilm)
    by_agent = await ann.embeddings.create(model="embedder", input=[TEXTS[2]])
    assert by_agent.data[0].embedding == pytest.approx(tide, abs=1e-6)

    long = "water " * 300
    with pytest.raises(openai.BadRequestError, match="has 302 tokens; this model takes 256") as refused:
        await ann.embeddings.create(model="embedder", input=long)
    assert refused.value.code == "context_length_exceeded"
    cut = await ann.embeddings.with_raw_response.create(
        model="embedder", input=["short", long], extra_body={"truncate": True}
    )
    assert cut.headers["x-truncated"] == "true"
    assert cut.parse().usage.prompt_tokens == 3 + 256
    with pytest.raises(openai.BadRequestError) as chat:
        await ann.chat.completions.create(model=minilm.slug, messages=[{"role": "user", "content": "Hi"}])
    assert chat.value.param == "model"
    assert "POST /v1/embeddings" in str(chat.value)


REFUSED: list[tuple[str, dict[str, object]]] = [
    ("dimensions", {"dimensions": 32}),
    ("input[0]", {"input": [1, 2, 3]}),
    ("input[0]", {"input": [[1, 2], [3]]}),
    ("input[1]", {"input": ["one", " "]}),
    ("input[0]", {"input": ""}),
    ("input", {"input": []}),
    ("input", {"input": ["x"] * 257}),
    ("input", {"input": 7}),
    ("encoding_format", {"encoding_format": "hex"}),
    ("task_type", {"task_type": "query"}),
]


async def test_what_is_refused_by_its_name(web: Web) -> None:
    async with web.client(web.scene.ann.headers) as client:
        for field, more in REFUSED:
            answer = await client.post("/v1/embeddings", json={"model": web.scene.pool.slug, "input": "x", **more})
            assert (answer.status_code, answer.json()["error"]["param"]) == (400, field), answer.text


async def test_a_pool_that_generates_is_no_embedding_model(ann: openai.AsyncOpenAI, web: Web) -> None:
    pool = await Pool.objects.acreate(slug=f"{web.scene.pool.slug}-chat", name="x", engine=Pool.Engine.VLLM)
    with pytest.raises(openai.BadRequestError, match="embeds no texts") as refused:
        await ann.embeddings.create(model=pool.slug, input="x")
    assert refused.value.param == "model"
    with pytest.raises(openai.NotFoundError):
        await ann.embeddings.create(model="nobody", input="x")


async def test_it_is_a_task_as_any_other(web: Web, worker: HandWorker) -> None:
    """Held by its idempotency key, shown among the tasks, and brought back by what Postgres has of it."""
    async with web.client({**web.scene.ann.headers, "Idempotency-Key": "k-1"}) as client:

        async def ask() -> httpx.Response:
            return await client.post("/v1/embeddings", json={"model": web.scene.pool.slug, "input": ["a", "b"]})

        asking = asyncio.create_task(ask())
        (turn,) = await worker.claim()
        assert (turn.body.embed, turn.body.messages) == (("a", "b"), ())
        answer = encoded([[1.0, 0.0], [0.0, 1.0]])
        await worker.say(turn, answer)
        await worker.end(turn, answer)
        first = await asking
        assert [one["embedding"] for one in first.json()["data"]] == [[1, 0], [0, 1]]
        assert (await ask()).json() == first.json()
    task = await Task.objects.for_tenant(web.scene.ann.tenant).aget(pk=turn.task)
    assert (task.input, task.params, task.options) == ([], {}, {"embed": ["a", "b"], "params": {}})


async def test_texts_by_rest(web: Web, worker: HandWorker) -> None:
    async with web.client(web.scene.ann.headers) as client:
        model = await client.post("/v1/embeddings", json={"model": "poet", "input": ""})
        assert model.json()["error"]["param"] == "input[0]"
        for field, more in (
            ("input", {"input": "x"}),
            ("conversation", {"conversation": "x"}),
            ("parameters", {"parameters": {"seed": 1}}),
            ("embed[0]", {"embed": [""]}),
            ("truncate", {"embed": None, "input": "x", "truncate": True}),
        ):
            body = {"agent": "poet", "embed": ["x"], **more}
            refused = await client.post(
                "/api/v1/tasks", json={name: value for name, value in body.items() if value is not None}
            )
            assert [error["field"] for error in refused.json()["errors"]] == [field], refused.text
        accepted = await client.post("/api/v1/tasks", json={"agent": "poet", "embed": ["x"], "truncate": True})
        assert accepted.status_code == 202
        (turn,) = await worker.claim()
        assert (turn.body.embed, turn.body.truncate) == (("x",), True)
        answer = encoded([[0.5]])
        await worker.say(turn, answer)
        await worker.end(turn, answer)
        events = (await client.get(f"/api/v1/tasks/{turn.task}/events")).text
        assert decoded(strings(answer)[0]) == [0.5]
        assert answer.replace('"', '\\"') in events
