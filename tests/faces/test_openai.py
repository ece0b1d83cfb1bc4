"""The official client, unchanged, on a real web process."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator

import openai
import pytest
from asgiref.sync import sync_to_async

from agents.models import Agent
from agents.services import agent_of_pool, create_agent
from orchestrator.models import Pool
from tests.faces.conftest import HandWorker, Web

pytestmark = [pytest.mark.timeout(90), pytest.mark.parametrize("server", ["daphne"], indirect=True)]
HELLO = [{"role": "user", "content": "Hello"}]


@pytest.fixture
async def ann(web: Web) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{web.url}/v1", api_key=web.scene.ann.key, max_retries=0) as client:
        yield client


async def test_models(ann: openai.AsyncOpenAI, web: Web) -> None:
    pool = web.scene.pool
    await sync_to_async(create_agent)(tenant=web.scene.ann.tenant, slug="pool-keeper", name="x", pool=pool)
    standing = await sync_to_async(agent_of_pool)(tenant_id=web.scene.ann.tenant.pk, pool_slug=pool.slug)
    listed = {model.id: model async for model in ann.models.list()}
    assert list(listed) == ["poet", "pool-keeper", pool.slug]  # and not what stands for the pool
    assert [model.owned_by for model in listed.values()] == ["opsite:agent", "opsite:agent", "opsite:pool"]
    assert listed[pool.slug].created == int(pool.created_at.timestamp())
    for name, model in listed.items():
        assert await ann.models.retrieve(name) == model
    with pytest.raises(openai.NotFoundError):
        await ann.models.retrieve(standing)


async def test_no_such_model(ann: openai.AsyncOpenAI, web: Web) -> None:
    bob, pool = web.scene.bob.tenant, web.scene.pool
    await sync_to_async(create_agent)(tenant=bob, slug="bard", name="x", pool=pool)
    await Pool.objects.acreate(slug=f"{pool.slug}-bob", name="x", engine=Pool.Engine.SIMULATED, tenant=bob)
    for theirs in ("bard", f"{pool.slug}-bob"):
        said = []
        for name in (theirs, "nobody"):
            with pytest.raises(openai.NotFoundError) as refused:
                await ann.models.retrieve(name)
            assert (refused.value.code, refused.value.param) == ("model_not_found", "model")
            said.append(str(refused.value).replace(name, "…"))
        assert said[0] == said[1]  # another tenant's is told from none by nothing
    with pytest.raises(openai.NotFoundError):
        await ann.models.retrieve("org/model")  # no name has a slash


async def test_a_whole_answer(ann: openai.AsyncOpenAI, worker: HandWorker) -> None:
    serving = asyncio.create_task(worker.serve(1, "One ", 'two "and" ', "three"))
    answer = await ann.chat.completions.create(model="poet", messages=HELLO)
    await serving
    assert answer.choices[0].message.content == 'One two "and" three'
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (3, 2, 5)


async def test_a_streamed_answer(ann: openai.AsyncOpenAI, worker: HandWorker) -> None:
    serving = asyncio.create_task(worker.serve(1, "One ", "", "two\n", "thrée"))
    stream = await ann.chat.completions.create(
        model="poet", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    await serving
    assert [c.choices[0].delta.content for c in chunks if c.choices and c.choices[0].delta.content] == [
        "One ", "two\n", "thrée",
    ]  # fmt: skip
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 5
    assert len({chunk.id for chunk in chunks}) == 1


async def test_parameters_reach_the_engine(ann: openai.AsyncOpenAI, worker: HandWorker) -> None:
    asking = asyncio.create_task(
        ann.chat.completions.create(
            model="poet",
            messages=[
                {"role": "developer", "content": "Be brief."},
                {"role": "user", "content": [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]},
            ],
            max_completion_tokens=5,
            temperature=0.5,
            top_p=0.9,
            seed=7,
            stop="END",
            user="someone",
        )
    )
    (turn,) = await worker.claim()
    await worker.end(turn)
    await asking
    assert [(m.role, m.content) for m in turn.body.messages] == [("system", "Be brief."), ("user", "Hello")]
    params = turn.body.params
    assert (params.max_tokens, params.temperature, params.top_p, params.seed, params.stop) == (5, 0.5, 0.9, 7, ("END",))


async def test_a_pool_s_name_is_a_model_too(ann: openai.AsyncOpenAI, web: Web, worker: HandWorker) -> None:
    serving = asyncio.create_task(worker.serve(2, "x"))
    for _ in range(2):
        answer = await ann.chat.completions.create(model=web.scene.pool.slug, messages=HELLO)
        assert answer.choices[0].message.content == "x"
    await serving
    assert await Agent.objects.for_tenant(web.scene.ann.tenant).acount() == 2


async def test_refusals_in_openai_s_form(ann: openai.AsyncOpenAI, web: Web) -> None:
    with pytest.raises(openai.NotFoundError, match="no agent and no pool"):
        await ann.chat.completions.create(model="nobody", messages=HELLO)
    for more, name in [
        ({"logit_bias": {"1": 1}}, "logit_bias"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [{"function": {"name": "a b"}}]}, "tools[0].function.name"),
        ({"tools": [{"function": {"name": "a"}}], "tool_choice": "required"}, "tool_choice"),
        (
            {"tools": [{"function": {"name": "a", "strict": True, "parameters": {"if": {}}}}]},
            "tools[0].function.parameters.if",
        ),
        (
            {"tool_choice": {"type": "function", "function": {"name": "a", "strict": True}}},
            "tool_choice.function.strict",
        ),
        ({"tool_choice": {"type": "function", "function": {"name": "a"}, "mode": "auto"}}, "tool_choice.mode"),
        ({"extra_body": {"cache_salt": "another tenant's"}}, "cache_salt"),
        ({"n": 9}, "n"),
        ({"temperature": 9}, "temperature"),
        ({"messages": [{**HELLO[0], "name": "Ann"}]}, "messages[0].name"),
        ({"messages": [{**HELLO[0], "refusal": "No."}]}, "messages[0].refusal"),
        ({"stream": True, "stream_options": {"include_obfuscation": True}}, "stream_options.include_obfuscation"),
    ]:
        asked = {"model": "poet", "messages": HELLO, **more}
        with pytest.raises(openai.BadRequestError) as refused:
            await ann.chat.completions.create(**asked)  # type: ignore[call-overload]
        assert refused.value.param == name
    image = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]
    with pytest.raises(openai.BadRequestError, match="image_url"):
        await ann.chat.completions.create(model="poet", messages=image)  # type: ignore[arg-type]
    wrong = openai.AsyncOpenAI(base_url=f"{web.url}/v1", api_key=f"ops_{uuid.uuid4().hex}", max_retries=0)
    with pytest.raises(openai.AuthenticationError):
        await wrong.chat.completions.create(model="poet", messages=HELLO)
    await wrong.close()


async def test_the_client_that_leaves_is_forgotten(ann: openai.AsyncOpenAI, web: Web, worker: HandWorker) -> None:
    stream = await ann.chat.completions.create(model="poet", messages=HELLO, stream=True)
    (turn,) = await worker.claim()
    await worker.say(turn, "begun")
    key = f"opsite:{{{web.scene.pool.slug}}}:follow:{turn.task}"
    async for chunk in stream:
        if chunk.choices[0].delta.content:
            break
    assert await worker.queue._link.ask("SCARD", key) == 1
    await stream.close()
    async with asyncio.timeout(30):
        while await worker.queue._link.ask("SCARD", key):  # noqa: ASYNC110 - it happens in another process
            await asyncio.sleep(0.02)
    await worker.end(turn)  # the task itself goes on
