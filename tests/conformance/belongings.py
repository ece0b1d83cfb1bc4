"""Objects of one tenant, one of each kind that the API's paths name, and as many more as are used up."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
from django.utils import timezone

from agents.conversations import append_message
from agents.lifecycle import CallState, TaskState
from agents.models import Task, ToolCall, Turn
from agents.publications import publish
from agents.services import create_agent, draft_revision
from agents.tool_services import save_http_tool, save_server
from batches.models import Batch, File, FileChunk
from comparisons.models import InputSet
from comparisons.services import create_comparison, create_input_set
from gpu_worker.engines.simulated_text import vector_of
from knowledge.models import Chunk, Collection, Document
from orchestrator.models import Pool
from schedules.models import Firing
from schedules.services import create_schedule
from tenants.models import ApiKey
from tenants.secrets import put_secret
from tenants.services import create_tenant, issue_key
from tests.scene import Party
from webhooks.models import Attempt, Delivery, Endpoint
from webhooks.services import create_endpoint, ping

DIMENSIONS = 64
"""Of the vectors of the simulated engine."""
HELLO = [{"role": "user", "content": "Hello"}]
LINE = b'{"custom_id":"1","method":"POST","url":"/v1/chat/completions","body":{"model":"poet","messages":[]}}\n'
_numbers = itertools.count(1)


class Belongings:
    """A tenant with its agent, the poet, who has a second revision that serves nobody. Each method makes one object more."""

    def __init__(self, *, pool: Pool, url: str, mcp_url: str) -> None:
        self.pool, self._url, self._mcp_url = pool, url, mcp_url
        number = next(_numbers)
        tenant = create_tenant(slug=f"tenant-{number}-{pool.slug}", name="Tenant", max_waiting=10_000)
        poet = create_agent(tenant=tenant, slug="poet", name="Poet", pool=pool, params={"max_tokens": 8})
        self.party = Party(tenant, poet, issue_key(tenant=tenant, name="test").secret)
        self.key = ApiKey.objects.for_tenant(tenant).get()
        draft_revision(agent=poet, tenant=tenant, changes={"system_prompt": "No."}, created_by="test")

    @property
    def headers(self) -> dict[str, str]:
        """Its `Authorization`."""
        return self.party.headers

    def agent(self) -> str:
        """With a draft as revision 2, and published twice."""
        slug = f"agent-{next(_numbers)}"
        tenant = self.party.tenant
        agent = create_agent(tenant=tenant, slug=slug, name="An agent", pool=self.pool)
        draft_revision(agent=agent, tenant=tenant, changes={"system_prompt": "Rhyme."}, created_by="test")
        for number in (2, 1):
            publish(agent=agent, number=number, published_by="test")
        return slug

    def conversation(self) -> str:
        made = self.party.conversation(title="A talk", agent=self.party.agent, metadata={"mark": "x"})
        append_message(conversation=made, role="user", content="Hello")
        append_message(conversation=made, role="assistant", content="Hello, too")
        return str(made.pk)

    def task(self) -> str:
        """One that the fleet runs."""
        body = {"agent": "poet", "input": "Hi", "metadata": {"mark": "x"}}
        return str(self._done("POST", "/api/v1/tasks", json=body).json()["id"])

    def asking_task(self) -> str:
        """One whose agent has asked a person; the call is `call_1`."""
        row = self.party.task(metadata={"mark": "x"})
        Task.objects.for_tenant(self.party.tenant).filter(pk=row.pk).update(state=TaskState.WAITING)
        turn = Turn.objects.for_tenant(self.party.tenant).get(task=row)
        ToolCall.objects.create(
            tenant=self.party.tenant, task=row, turn=turn, number=1, call_id="call_1", name="ask_human",
            arguments='{"question": "Which?"}', state=CallState.WAITING.value,
        )  # fmt: skip
        return str(row.pk)

    def response(self, *, background: bool = False) -> str:
        """One that has ended; in the background, one that may still run."""
        body = {"model": "poet", "input": "Hi", "background": background}
        return str(self._done("POST", "/v1/responses", json=body).json()["id"])

    def tool(self) -> str:
        return save_http_tool(
            tenant=self.party.tenant,
            name=f"tool-{next(_numbers)}",
            description="A tool",
            request={"url": "https://tools.example/{place}", "method": "GET"},
            parameters={"type": "object", "properties": {"place": {"type": "string"}}},
        ).name

    def mcp_server(self) -> str:
        return save_server(tenant=self.party.tenant, name=f"mcp-{next(_numbers)}", url=self._mcp_url).name

    def secret(self) -> str:
        return put_secret(tenant=self.party.tenant, name=f"secret-{next(_numbers)}", value="a secret value")[0].name

    def endpoint(self) -> tuple[str, str]:
        """A webhook's endpoint and a delivery that failed."""
        self.without_endpoints()
        endpoint = create_endpoint(tenant=self.party.tenant, url="https://hooks.example/").endpoint
        delivery = ping(endpoint=endpoint)
        Attempt.objects.create(
            tenant=self.party.tenant, delivery=delivery, number=1, at=timezone.now(), duration_ms=5,
            error={"code": "timeout", "message": "No answer."},
        )  # fmt: skip
        delivery.state, delivery.finished_at = Delivery.State.FAILED, timezone.now()
        delivery.save()
        return str(endpoint.pk), str(delivery.pk)

    def without_endpoints(self) -> None:
        """It may have few of them; those that were made before go."""
        Endpoint.objects.for_tenant(self.party.tenant).delete()

    def collection(self) -> str:
        return self._document().collection.slug

    def document(self) -> str:
        return str(self._document().pk)

    def _document(self) -> Document:
        tenant = self.party.tenant
        collection = Collection.objects.create(
            tenant=tenant, slug=f"collection-{next(_numbers)}", name="A collection", pool=self.pool,
            dimensions=DIMENSIONS, model=self.pool.engine,
        )  # fmt: skip
        document = Document.objects.create(
            tenant=tenant, collection=collection, title="A title", text="Some text", metadata={"mark": "x"},
            uploaded_at=timezone.now(), ingested_at=timezone.now(), state=Document.State.READY, chunk_count=1,
        )  # fmt: skip
        Chunk.objects.create(
            tenant=tenant, collection=collection, document=document, number=1, start=0, stop=9, text="Some text",
            dimensions=DIMENSIONS, embedding=vector_of("Some text", DIMENSIONS),
        )  # fmt: skip
        return document

    def schedule(self) -> str:
        said = {"name": f"nightly {next(_numbers)}", "cron": "0 3 * * *", "task": {"agent": "poet", "input": "Hi"}}
        made = create_schedule(tenant=self.party.tenant, key=self.key, said=said, now=timezone.now())
        Firing.objects.create(
            tenant=self.party.tenant, schedule=made, nominal_at=timezone.now(), state=Firing.State.FAILED,
            error={"code": "unavailable", "message": "Not now."},
        )  # fmt: skip
        return str(made.pk)

    def _input_set(self) -> InputSet:
        return create_input_set(
            agent=self.party.agent,
            name=f"set {next(_numbers)}",
            items=[{"input": "Hi", "checks": {"regex": "H"}}, {"messages": HELLO}],
            created_by="test",
        )

    def input_set(self) -> str:
        return str(self._input_set().pk)

    def comparison(self) -> str:
        return str(create_comparison(input_set=self._input_set(), left=1, right=2, key=self.key).pk)

    def file(self) -> str:
        return f"file-{self._file().pk}"

    def _file(self) -> File:
        tenant = self.party.tenant
        file = File.objects.create(
            tenant=tenant, filename="lines.jsonl", purpose="batch", state="processed", bytes=len(LINE)
        )
        FileChunk.objects.create(tenant=tenant, file=file, number=0, data=LINE)
        return file

    def batch(self) -> str:
        made = Batch.objects.create(
            tenant=self.party.tenant,
            api_key=self.key,
            endpoint="/v1/chat/completions",
            input_file=self._file(),
            metadata={"mark": "x"},
            expires_at=timezone.now() + timedelta(days=1),
        )
        return f"batch_{made.pk}"

    def _done(self, method: str, path: str, **rest: Any) -> httpx.Response:
        answer = httpx.request(method, self._url + path, headers=self.headers, timeout=60, **rest)
        assert answer.is_success, answer.text
        return answer


def _webhook(own: Belongings) -> dict[str, str]:
    endpoint, delivery = own.endpoint()
    return {"id": endpoint, "delivery": delivery}


NAMED: dict[str, Callable[[Belongings], dict[str, str]]] = {
    "/api/v1/agents/": lambda own: {"slug": own.agent(), "number": "2"},
    "/api/v1/collections/": lambda own: {"slug": own.collection()},
    "/api/v1/comparisons/": lambda own: {"id": own.comparison()},
    "/api/v1/conversations/": lambda own: {"id": own.conversation()},
    "/api/v1/documents/": lambda own: {"id": own.document()},
    "/api/v1/input-sets/": lambda own: {"id": own.input_set()},
    "/api/v1/mcp-servers/": lambda own: {"name": own.mcp_server()},
    "/api/v1/schedules/": lambda own: {"id": own.schedule()},
    "/api/v1/secrets/": lambda own: {"name": own.secret()},
    "/api/v1/tasks/{id}/answers": lambda own: {"id": own.asking_task()},
    "/api/v1/tasks/{id}/steps": lambda own: {"id": own.asking_task()},
    "/api/v1/tasks/": lambda own: {"id": own.task()},
    "/api/v1/tools/": lambda own: {"name": own.tool()},
    "/api/v1/webhooks/": _webhook,
    "/v1/models/": lambda own: {"id": "poet"},
    "/v1/responses/{id}/cancel": lambda own: {"id": own.response(background=True)},
    "/v1/responses/": lambda own: {"id": own.response()},
    "/v1/files/": lambda own: {"id": own.file()},
    "/v1/batches/": lambda own: {"id": own.batch()},
}
"""By how a path begins (the first that fits): the parameters that name a fresh object there."""


def named(path: str, own: Belongings) -> dict[str, str]:
    """The parameters of a path of the document, naming objects that there are."""
    if "{" not in path:
        return {}
    parameters = next(make for start, make in NAMED.items() if path.startswith(start))(own)
    return {name: value for name, value in parameters.items() if f"{{{name}}}" in path}
