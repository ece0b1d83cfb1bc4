"""The hot routes against their own document: made-up requests, valid and not, on a real web process and a simulated worker.

No answer is a server's error, none has a status, a content type, a header or a body that the document does not show.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.specs.openapi import checks

from agents.faces.app import ROUTES
from tests.faces.conftest import Web
from tests.gpu_worker.conftest import StartWorker, start_worker
from tests.scene import Scene

__all__ = ["start_worker"]  # a fixture

pytestmark = [pytest.mark.timeout(170), pytest.mark.parametrize("server", ["uvicorn"], indirect=True)]
EXAMPLES = 8
HOT = {f"{method} {path}" for method, path, _ in ROUTES}
CHECKS = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]


@pytest.fixture
def pool(live_scene: Scene) -> str:
    """The worker serves the scene's pool."""
    return live_scene.pool.slug


def operations(document: dict[str, Any]) -> Iterator[APIOperation[Any, Any, Any]]:
    for result in schemathesis.openapi.from_dict(document).get_all_operations():
        operation = result.ok()
        if operation.label in HOT:
            yield operation


def test_made_up_requests_get_documented_answers(web: Web, client: Client, start_worker: StartWorker) -> None:
    start_worker(slots=8, engine_args='{"answer_tokens": 3, "context_tokens": 200, "step_base_s": 0.0005}')
    document = client.get("/api/schema/", {"format": "json"}).json()
    headers = web.scene.ann.headers
    begun = httpx.post(f"{web.url}/v1/responses", json={"model": "poet", "input": "Hi"}, headers=headers, timeout=60)
    response = begun.json()["id"]
    names = {path: response for _, path, _ in ROUTES} | {"/v1/models/{id}": "poet"}
    names |= {path: response.removeprefix("resp_") for path in names if "/tasks/" in path}
    tried = set()
    for operation in operations(document):
        tried.add(operation.label)
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

            @settings(
                max_examples=EXAMPLES,
                derandomize=True,
                database=None,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(generation_mode=mode), known=st.booleans())
            def run(case: Case, known: bool) -> None:
                for name in ("model", "agent"):
                    if known and isinstance(case.body, dict) and isinstance(case.body.get(name), str):
                        case.body[name] = "poet"
                if known and case.path_parameters and case.method != "DELETE":
                    case.path_parameters["id"] = names[case.operation.path]
                answer = case.call(base_url=web.url, headers=headers, timeout=60)
                case.validate_response(answer, checks=CHECKS)

            with contextlib.suppress(Unsatisfiable):  # nothing can be wrong with a request without parameters
                run()
    assert tried == HOT
