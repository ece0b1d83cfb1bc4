"""Each refusal raises the class of the official client that fits."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import openai
import pytest

from orchestrator.models import Pool
from tenants.services import issue_key
from tests.faces.conftest import Web

pytestmark = [pytest.mark.timeout(90), pytest.mark.parametrize("server", ["uvicorn"], indirect=True)]


def refused(as_class: type[openai.APIStatusError], call: Callable[..., Any], **arguments: Any) -> openai.APIStatusError:
    with pytest.raises(as_class) as raised:
        call(**arguments)
    assert type(raised.value) is as_class
    assert raised.value.body
    return raised.value


def test_each_refusal_has_its_class(web: Web) -> None:
    ann, base_url = web.scene.ann, f"{web.url}/v1"
    chat = {"model": "poet", "messages": [{"role": "user", "content": "Hello"}]}
    plain = {"model": "poet", "prompt": "Hello"}
    response = {"model": "poet", "input": "Hello"}
    reader = issue_key(tenant=ann.tenant, name="reader", scopes=["tasks:read"]).secret
    with openai.OpenAI(base_url=base_url, api_key=ann.key, max_retries=0) as client:
        calls: list[tuple[Callable[..., Any], dict[str, Any]]] = [
            (client.chat.completions.create, chat),
            (client.completions.create, plain),
            (client.responses.create, response),
        ]
        for call, body in calls:
            refused(openai.BadRequestError, call, **body, temperature=9)
            refused(openai.NotFoundError, call, **{**body, "model": "nobody"})
            headers = {"Idempotency-Key": uuid.uuid4().hex}
            refused(openai.BadRequestError, call, **body, extra_headers={"Idempotency-Key": "x" * 256})
            more = {"extra_headers": headers, "stream": True}
            call(**body, **more).close()
            refused(openai.UnprocessableEntityError, call, **{**body, **more, "temperature": 0.5})
        running = client.responses.create(**response, background=True)
        refused(openai.ConflictError, client.responses.delete, response_id=running.id)
        for key, as_class in ((reader, openai.PermissionDeniedError), ("ops_x", openai.AuthenticationError)):
            other = client.with_options(api_key=key)
            for call, body in (
                (other.chat.completions.create, chat),
                (other.completions.create, plain),
                (other.responses.create, response),
                (other.responses.cancel, {"response_id": running.id}),
                (other.responses.delete, {"response_id": running.id}),
            ):
                refused(as_class, call, **body)
        full(client.responses.create, openai.RateLimitError)
        for call, body in calls:
            assert refused(openai.RateLimitError, call, **body).response.headers["retry-after"]
        Pool.objects.filter(pk=web.scene.pool.pk).update(max_waiting=1)
        of_bob = client.with_options(api_key=web.scene.bob.key)
        full(of_bob.responses.create, openai.InternalServerError)
        for call, body in (
            (of_bob.chat.completions.create, chat),
            (of_bob.completions.create, plain),
            (of_bob.responses.create, response),
        ):
            assert refused(openai.InternalServerError, call, **body).status_code == 503


def full(create: Callable[..., Any], as_class: type[openai.APIStatusError]) -> None:
    """Fill the line, whose bound is 20 or an edited one of which the process will hear."""
    for _ in range(21):
        try:
            create(model="poet", input="Hello", background=True)
        except as_class:
            return
    raise AssertionError("the line has no bound")
