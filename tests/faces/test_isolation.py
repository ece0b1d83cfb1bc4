"""Another tenant's names, on every route and in every message: refused as if they named nothing, and nothing of theirs is shown.

The routes are those that are served, the messages those that are understood: a new one fails here until it is tried
(tests/faces/attempts.py). The same wall in Redis: tests/taskqueue/test_access.py.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

import httpx
import pytest
import websockets
from asgiref.sync import sync_to_async
from django.db import connection
from django.urls import get_resolver
from django.utils import timezone
from redis import Redis

from agents.conversations import append_message
from agents.faces.socket import ANSWERS
from agents.models import StoredResponse
from agents.services import create_agent
from agents.tool_services import save_http_tool, save_server
from batches.models import Batch, File, FileChunk
from knowledge.models import Collection, Document
from orchestrator.models import Pool
from taskqueue.connections import connect as connect_redis
from taskqueue.messages import ClaimedTurn
from tenants.models import ApiKey, Tenant
from tenants.scoping import TenantOwned
from tenants.secrets import put_secret
from tenants.services import issue_key, revoke_key
from tests.faces.attempt import Asked, Names, asked
from tests.faces.attempts import ATTEMPTS, MESSAGES
from tests.faces.conftest import HandWorker, Web
from tests.faces.forms import FORMS, fields_of
from tests.faces.served import NOT_TENANTS, patterns, served_routes
from tests.faces.test_socket import Client, connect
from tests.scene import Party
from webhooks.services import create_endpoint, ping

pytestmark = [pytest.mark.timeout(170)]
only_daphne = pytest.mark.parametrize("server", ["daphne"], indirect=True)
SECRET = "the-secret-of-ann"


def rows_of(party: Party) -> list[tuple[str, str]]:
    """All rows of a tenant as they stand, table by table; that a key was used is no change."""
    tables = {
        Tenant._meta.db_table: "id",
        **{model._meta.db_table: "tenant_id" for model in TenantOwned.__subclasses__()},
    }
    selects = [
        f"SELECT '{table}', (to_jsonb(one) - 'last_used_at')::text FROM {table} one WHERE {owner} = %(tenant)s"
        for table, owner in tables.items()
    ]
    with connection.cursor() as cursor:  # one statement: it is asked after each route
        cursor.execute(" UNION ALL ".join(selects) + " ORDER BY 1, 2", {"tenant": party.tenant.pk})
        return list(cursor.fetchall())


@dataclass(frozen=True)
class Owner:
    """Ann, with one of everything: what must neither change nor be seen."""

    party: Party
    names: Names
    turn: ClaimedTurn
    redis: Redis

    async def state(self) -> tuple[list[tuple[str, str]], dict[bytes, object]]:
        """Her rows in Postgres, and every key in Redis that bears one of her ids."""
        marks = [mark.encode() for mark in (self.names.task, self.names.turn, str(self.party.tenant.pk))]
        keys = [key for key in self.redis.scan_iter("*", count=1000) if any(mark in key for mark in marks)]
        assert keys
        return await sync_to_async(rows_of)(self.party), {key: self.redis.dump(key) for key in sorted(keys)}

    def unseen_in(self, said: str, *, asked: object) -> None:
        """None of her words stands in an answer, nor any name of hers that the asker did not bring."""
        assert SECRET not in said
        tenant = self.party.tenant
        for name in (*self.names, str(tenant.pk), tenant.slug, self.party.key):
            assert name in str(asked) or name not in said, f"{name} in the answer to {asked}: {said}"


def belongings(party: Party) -> Names:
    """A dedicated pool, an agent on it, a conversation with a message: all with the secret in them."""
    mark = uuid.uuid4().hex[:8]
    pool = Pool.objects.create(slug=f"hers-{mark}", name=SECRET, engine=Pool.Engine.SIMULATED, tenant=party.tenant)
    agent = create_agent(tenant=party.tenant, slug=f"agent-{mark}", name=SECRET, pool=pool, system_prompt=SECRET)
    conversation = party.conversation(title=SECRET, agent=agent, metadata={"mark": SECRET})
    endpoint = create_endpoint(tenant=party.tenant, url="https://hooks.example/", description=SECRET).endpoint
    collection = Collection.objects.create(tenant=party.tenant, slug=f"collection-{mark}", name=SECRET, pool=pool)
    document = Document.objects.create(
        tenant=party.tenant, collection=collection, title=SECRET, text=SECRET, metadata={"mark": SECRET},
        uploaded_at=timezone.now(),
    )  # fmt: skip
    message = append_message(conversation=conversation, role="user", content=SECRET)
    file = File.objects.create(tenant=party.tenant, filename=SECRET, purpose="batch", state="processed", bytes=1)
    FileChunk.objects.create(tenant=party.tenant, file=file, number=0, data=SECRET.encode())
    batch = Batch.objects.create(
        tenant=party.tenant,
        endpoint="/v1/chat/completions",
        input_file=file,
        metadata={"mark": SECRET},
        expires_at=timezone.now() + timedelta(days=1),
    )
    return Names.nobody()._replace(
        file=f"file-{file.pk}",
        batch=f"batch_{batch.pk}",
        agent=agent.slug,
        revision=str(agent.current_revision_id),
        pool=pool.slug,
        conversation=str(conversation.pk),
        message=str(message.pk),
        endpoint=str(endpoint.pk),
        delivery=str(ping(endpoint=endpoint).pk),
        tool=save_http_tool(
            tenant=party.tenant,
            name=f"tool-{mark}",
            description=SECRET,
            request={"url": "https://tools.example/"},
            parameters={"type": "object"},
        ).name,
        mcp_server=save_server(tenant=party.tenant, name=f"mcp-{mark}", url=f"https://{SECRET}.example/").name,
        secret=put_secret(tenant=party.tenant, name=f"secret-{mark}", value=SECRET)[0].name,
        api_key=str(ApiKey.objects.for_tenant(party.tenant).get().pk),
        collection=collection.slug,
        document=str(document.pk),
    )


@pytest.fixture
async def ann(web: Web, worker: HandWorker, redis_url: str) -> AsyncIterator[Owner]:
    """Her task runs and has streamed; she submitted it with an idempotency key."""
    party = web.scene.ann
    names = await sync_to_async(belongings)(party)
    async with web.client({**party.headers, "Idempotency-Key": names.idempotency_key}) as client:
        task = {"agent": "poet", "input": SECRET, "metadata": {"mark": SECRET}}
        accepted = await client.post("/api/v1/tasks", json=task)
    (turn,) = await worker.claim()
    await worker.say(turn, SECRET)
    redis = connect_redis(redis_url)
    task = accepted.json()["id"]
    await StoredResponse.objects.acreate(
        tenant=party.tenant, task_id=task, model="poet", instructions=SECRET, preface=0, said=1, background=True
    )
    yield Owner(party, names._replace(task=task, turn=turn.turn, response=f"resp_{task}"), turn, redis)
    redis.close()


async def bobs(web: Web) -> Names:
    """What the asker has himself, beside the names of others."""
    bob = web.scene.bob
    conversation = await sync_to_async(bob.conversation)()
    collection = await Collection.objects.acreate(
        tenant=bob.tenant, slug=f"of-{bob.tenant.slug}", name="x", pool=web.scene.pool
    )
    return Names.nobody()._replace(
        agent=bob.agent.slug, pool=web.scene.pool.slug, conversation=str(conversation.pk), collection=collection.slug
    )


async def answer_to(client: httpx.AsyncClient, request: Asked) -> tuple[int, str, str]:
    """Status, headers and body; of a stream its first piece."""
    async with client.stream(request.method, request.path, **request.rest) as answer:
        streams = answer.headers.get("content-type", "").startswith("text/event-stream")
        text = await anext(answer.aiter_text()) if streams else (await answer.aread()).decode()
        return answer.status_code, str(answer.headers), text


def nameless(said: str, names: Names) -> str:
    """An answer without the names that it repeats: it must be the same for names of nothing."""
    for field, name in sorted(names._asdict().items(), key=lambda one: -len(one[1])):  # some are part of others
        said = said.replace(name, f"<{field}>")
    return said


def test_every_route_is_tried() -> None:
    assert set(ATTEMPTS) == served_routes()
    assert {str(one.pattern) for one in get_resolver().url_patterns} == NOT_TENANTS | {"api/v1/"}


def test_every_message_is_tried() -> None:
    assert set(MESSAGES) == {"auth", *ANSWERS}


def test_every_field_that_can_name_an_object_is_tried() -> None:
    for form, (naming, harmless) in FORMS.items():
        assert (naming | harmless, naming & harmless) == (fields_of(form), set()), form
    attempts = [one for table in (ATTEMPTS, MESSAGES) for several in table.values() for one in several]
    naming = {f"{form.__name__}.{field}" for form, (fields, _) in FORMS.items() for field in fields}
    assert {filled for attempt in attempts for filled in attempt.fills} == naming


@only_daphne
async def test_names_of_others_name_nothing_on_every_route(ann: Owner, web: Web) -> None:
    own = await bobs(web)
    async with web.client(web.scene.bob.headers) as client:
        before, mine = await ann.state(), await sync_to_async(rows_of)(web.scene.bob)
        for route, attempt in ((route, one) for route, several in ATTEMPTS.items() for one in several if not one.own):
            nobody = Names.nobody()
            requests = zip(asked(route, attempt, ann.names, own), asked(route, attempt, nobody, own), strict=True)
            for request, of_nobody in requests:
                status, headers, text = await answer_to(client, request)
                assert status == attempt.status, (request, text)
                if attempt.field:
                    assert [error["field"] for error in json.loads(text)["errors"]] == [attempt.field], text
                ann.unseen_in(headers + text, asked=request)
                others = await answer_to(client, of_nobody)
                assert (others[0], nameless(others[2], nobody)) == (status, nameless(text, ann.names)), request
            assert await ann.state() == before, route
            assert await sync_to_async(rows_of)(web.scene.bob) == mine, route


@only_daphne
async def test_a_name_that_is_anybodys_to_choose_makes_an_object_of_ones_own(ann: Owner, web: Web) -> None:
    own = await bobs(web)
    async with web.client(web.scene.bob.headers) as client:
        before = await ann.state()
        for route, attempt in ((route, one) for route, several in ATTEMPTS.items() for one in several if one.own):
            for request in asked(route, attempt, ann.names, own):
                status, headers, text = await answer_to(client, request)
                assert status == attempt.status, (request, text)
                ann.unseen_in(headers + text, asked=request)
                assert await ann.state() == before, request


@only_daphne
async def test_head_and_options_show_nothing_either(ann: Owner, web: Web) -> None:
    own = await bobs(web)
    async with web.client(web.scene.bob.headers) as client:
        before = await ann.state()
        for route, (attempt, *_) in ATTEMPTS.items():
            for request in asked(route, attempt, ann.names, own):
                if request.method == "GET":
                    status, headers, text = await answer_to(client, request._replace(method="HEAD"))
                    assert (status, text) == (attempt.status, "")
                    ann.unseen_in(headers, asked=request)
                _, headers, text = await answer_to(client, request._replace(method="OPTIONS"))
                ann.unseen_in(headers + text, asked=request)
        assert await ann.state() == before


@only_daphne
async def test_revoked_keys_and_keys_of_suspended_tenants_are_refused_on_every_route(ann: Owner, web: Web) -> None:
    issue = sync_to_async(issue_key)
    revoked = await issue(tenant=web.scene.ann.tenant, name="revoked")
    await sync_to_async(revoke_key)(key=revoked.key)
    suspended = await issue(tenant=web.scene.bob.tenant, name="suspended")
    await Tenant.objects.filter(pk=web.scene.bob.tenant.pk).aupdate(is_active=False)
    before = await ann.state()
    for secret in (revoked.secret, suspended.secret):
        async with web.client({"Authorization": f"Bearer {secret}"}) as client:
            for route, attempts in ATTEMPTS.items():
                for request in asked(route, attempts[0], ann.names, ann.names):
                    status, headers, text = await answer_to(client, request)
                    assert status == (200 if attempts[0].public else 401), (request, text)
                    ann.unseen_in(headers + text, asked=request)
        async with connect(web, {"Authorization": f"Bearer {secret}"}) as socket:
            assert (await Client(socket).hear("error"))["problem"]["status"] == 401
    assert await ann.state() == before


@only_daphne
async def test_names_of_others_name_nothing_in_every_message(ann: Owner, web: Web, worker: HandWorker) -> None:
    own, nobody = await bobs(web), Names.nobody()
    async with connect(web, web.scene.bob.headers) as socket:
        client = Client(socket)
        await client.hear("ready")
        before = await ann.state()
        for kind, attempts in MESSAGES.items():
            for attempt in attempts:
                assert attempt.body is not None
                answers = []
                for names in (ann.names,) if attempt.own else (ann.names, nobody):
                    message = {"type": kind, **attempt.body(names, own)}
                    await client.say(**message)
                    said = await client.hear(attempt.answer)
                    assert said.get("problem", {}).get("status", 0) == attempt.status, (message, said)
                    ann.unseen_in(json.dumps(said), asked=message)
                    answers.append(nameless(json.dumps(said), names))
                    assert await ann.state() == before, message
                assert len(set(answers)) == 1, answers
        # Whatever was said above: what she is told now comes to nobody here.
        for ref in range(3):
            await worker.say(ann.turn, SECRET)
            await client.say(type="ping", ref=ref)
            assert await client.hear("pong") == {"type": "pong", "ref": ref}


WITHOUT_LOGIN = {"/console/login/", "/console/login/inactive/", "/console/logout/"}


@only_daphne
async def test_an_api_key_is_no_login_to_the_console(ann: Owner, web: Web) -> None:
    async with web.client(web.scene.ann.headers) as client:
        pages = [path for path, _ in patterns(get_resolver()) if path.startswith("/console/")]
        assert len(pages) > 50
        for path in pages:
            answer = await client.get(path.format_map(_Everywhere(ann.names.task)))
            refused = answer.status_code == 302 and answer.headers["location"].startswith("/console/login/")
            assert refused or path in {"/console/login/", "/console/login/inactive/", "/console/logout/"}, (
                path,
                answer.status_code,
            )
            assert SECRET not in answer.text
    with pytest.raises(websockets.InvalidStatus):
        async with (
            asyncio.timeout(30),
            websockets.connect(
                web.url.replace("http", "ws") + "/ws/console/", additional_headers=web.scene.ann.headers
            ),
        ):
            pass


class _Everywhere(dict[str, str]):
    """The same value for every parameter of a path."""

    def __init__(self, value: str) -> None:
        super().__init__()
        self._value = value

    def __missing__(self, name: str) -> str:
        return self._value
