"""Which revision a task gets, on a real web process: by split, key, conversation, or because the caller names it."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import httpx
import pytest
from asgiref.sync import sync_to_async

from agents import publications
from agents.models import Agent, Task
from agents.services import draft_revision
from agents.traffic import bucket, chosen
from tests.faces.conftest import HandWorker, Web
from tests.scene import Party

pytestmark = [pytest.mark.timeout(120), pytest.mark.parametrize("server", ["daphne"], indirect=True)]
TASKS = "/api/v1/tasks"


@sync_to_async
def draft(party: Party, prompt: str) -> int:
    changes = {"system_prompt": prompt}
    return draft_revision(agent=party.agent, tenant=party.tenant, changes=changes, created_by="test").number


@sync_to_async
def split(party: Party, **percents: int) -> None:
    shares = {int(name[1:]): percent for name, percent in percents.items()}
    publications.split(agent=party.agent, percents=shares, published_by="test")


async def revision_of(client: httpx.AsyncClient, **more: Any) -> int:
    answer = await client.post(TASKS, json={"agent": "poet", "input": "Hi", **more})
    assert answer.status_code == 202, answer.text
    return int(answer.json()["revision"])


def both_sides(party: Party) -> list[uuid.UUID]:
    """Ids of conversations: three that lie in the first half, then three in the second."""
    ids = [uuid.uuid4() for _ in range(200)]
    ids.sort(key=lambda one: bucket(str(party.agent.pk), str(one)))
    return [*ids[:3], *ids[-3:]]


@pytest.fixture
async def roomy(web: Web) -> Web:
    """All of a test's tasks may wait."""
    await type(web.scene.ann.tenant).objects.filter(pk=web.scene.ann.tenant.pk).aupdate(max_waiting=1000)
    return web


async def test_a_published_revision_is_what_the_next_task_gets(roomy: Web, worker: HandWorker) -> None:
    ann = roomy.scene.ann
    async with roomy.client(ann.headers) as client:
        assert await revision_of(client) == 1
        number = await draft(ann, "Rhyme.")
        assert await revision_of(client) == 1  # a draft serves nobody
        await sync_to_async(publications.publish)(agent=ann.agent, number=number, published_by="test")
        while await revision_of(client) != number:  # within a second; the test's own timeout bounds it
            pass
        await sync_to_async(publications.roll_back)(agent=ann.agent, published_by="test")
        while await revision_of(client) != 1:
            pass
    turns = await worker.claim(3)
    assert [message.role for message in turns[0].body.messages] == ["user"]
    published = await Task.objects.for_tenant(ann.tenant).aget(revision__number=number)
    assert published.input[0] == {"role": "system", "content": "Rhyme."}


async def test_a_split_is_met_and_a_key_decides(roomy: Web) -> None:
    ann = roomy.scene.ann
    await draft(ann, "Rhyme.")
    await split(ann, r1=60, r2=40)
    agent = str(ann.agent.pk)
    async with roomy.client(ann.headers) as client:
        for number in range(20):
            expected = 1 + chosen([60, 40], bucket(agent, f"user-{number}"))
            assert await revision_of(client, split_key=f"user-{number}") == expected
        for _ in range(30):  # without a key the task's own id decides
            answer = (await client.post(TASKS, json={"agent": "poet", "input": "Hi"})).json()
            assert answer["revision"] == 1 + chosen([60, 40], bucket(agent, answer["id"]))
        assert (await client.post(TASKS, json={"agent": "poet", "input": "Hi", "split_key": ""})).status_code == 400
    seen = {task.revision.number async for task in Task.objects.for_tenant(ann.tenant).select_related("revision")}
    assert seen == {1, 2}


async def test_a_conversation_stays_with_its_revision_while_that_has_a_share(roomy: Web) -> None:
    ann = roomy.scene.ann
    await draft(ann, "Rhyme.")
    await draft(ann, "Sing.")
    await split(ann, r1=50, r2=50)
    async with roomy.client(ann.headers) as client:
        conversations = [str((await sync_to_async(ann.conversation)(id=one)).pk) for one in both_sides(ann)]
        first = {one: await revision_of(client, conversation=one) for one in conversations}
        assert list(first.values()) == [1, 1, 1, 2, 2, 2]
        # By its bucket each would get the other one, or the third; those whose own is still there keep it.
        await split(ann, r2=1, r3=99)
        while await revision_of(client) != 3:
            pass
        for one, before in first.items():
            key = {"split_key": str(uuid.uuid4())}
            assert await revision_of(client, conversation=one, **key) in ({2} if before == 2 else {2, 3})
        # Named by the caller, for this task and so for the conversation as well, where it has a share.
        assert await revision_of(client, conversation=conversations[0], agent="poet@1") == 1
        assert await revision_of(client, conversation=conversations[1], agent="poet@3") == 3
        assert await revision_of(client, conversation=conversations[1]) == 3


async def test_a_revision_may_be_named_as_the_agent_and_as_the_model(roomy: Web, worker: HandWorker) -> None:
    ann = roomy.scene.ann
    await draft(ann, "Rhyme.")
    async with roomy.client(ann.headers) as client:
        assert await revision_of(client, agent="poet@2") == 2  # a draft, to try it
        await worker.serve(1, "x")
        chat = {"model": "poet@2", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
        async with client.stream("POST", "/v1/chat/completions", json=chat) as answer:
            assert answer.status_code == 200
            (turn,) = await worker.claim()
            assert turn.body.messages[0].content == "Rhyme."
            await worker.end(turn)
            assert '"model":"poet@2"' in (await answer.aread()).decode()
        for name in ("poet@9", "poet@0", "poet@", "poet@x", "poet@2@2", "@2", "poet@9999999999"):
            assert (await client.post(TASKS, json={"agent": name, "input": "Hi"})).status_code == 400, name
            chat = {"model": name, "messages": [{"role": "user", "content": "Hi"}]}
            assert (await client.post("/v1/chat/completions", json=chat)).status_code == 404, name
        key = {"Idempotency-Key": "once"}
        for agent, status in (("poet@2", 202), ("poet@2", 202), ("poet", 422), ("poet@1", 422)):
            asked = await client.post(TASKS, json={"agent": agent, "input": "Hi"}, headers=key)
            assert asked.status_code == status, agent
    assert await Agent.objects.for_tenant(ann.tenant).acount() == 1


async def test_the_user_of_a_chat_is_its_key(roomy: Web, worker: HandWorker) -> None:
    ann = roomy.scene.ann
    await draft(ann, "Rhyme.")
    await split(ann, r1=50, r2=50)
    async with roomy.client(ann.headers) as client:
        for user in ("ada", "ben", "cy", "dee"):
            chat = {"model": "poet", "messages": [{"role": "user", "content": "Hi"}], "user": user, "stream": True}
            async with client.stream("POST", "/v1/chat/completions", json=chat) as answer:
                (turn,) = await worker.claim()
                await worker.end(turn)
                await answer.aread()
            task = await Task.objects.for_tenant(ann.tenant).select_related("revision").aget(pk=turn.task)
            assert task.revision.number == 1 + chosen([50, 50], bucket(str(ann.agent.pk), user))


async def test_choices_take_the_parameters_of_the_revision_that_serves(roomy: Web, worker: HandWorker) -> None:
    ann = roomy.scene.ann
    changes = {"system_prompt": "", "params": {"seed": 700, "max_tokens": 3}}
    await sync_to_async(draft_revision)(agent=ann.agent, tenant=ann.tenant, changes=changes, created_by="test")
    await split(ann, r1=99, r2=1)
    agent = str(ann.agent.pk)
    users = (f"user-{number}" for number in range(10_000))
    user = next(one for one in users if chosen([99, 1], bucket(agent, one)) == 1)
    async with roomy.client(ann.headers) as client:
        earlier = 1
        while await revision_of(client, split_key=user) != 2:
            earlier += 1
        await worker.claim(earlier)
        chat = {"messages": [{"role": "user", "content": "Hi"}]}
        for path, body in (("chat/completions", chat), ("completions", {"prompt": "Hi"})):
            asked = {"model": "poet", "n": 2, "user": user, **body}
            answer = asyncio.create_task(client.post(f"/v1/{path}", json=asked))
            turns = await worker.claim(2)
            assert sorted(turn.body.params.seed or 0 for turn in turns) == [700, 701]
            assert {turn.body.params.max_tokens for turn in turns} == {3}
            for turn in turns:
                await worker.end(turn, "x")
            assert (await answer).status_code == 200
