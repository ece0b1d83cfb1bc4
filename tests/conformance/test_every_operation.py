"""Every operation of the document succeeds when it is asked well, and its answer is as the document says."""

from __future__ import annotations

import pytest
import websockets.sync.client

from tests.conformance.effort import TIMEOUT_S
from tests.conformance.good_requests import GOOD
from tests.conformance.service import Asker, Operation, Service, declared

pytestmark = pytest.mark.timeout(TIMEOUT_S)
UNASKED = {"after", "cursor", "head", "include_obfuscation", "metadata.NAME", "title"}
"""Query parameters that a good request may leave out: names of what is not there yet, or is part of the path's object, and what
goes with another form of body.
"""


def statuses(operation: Operation) -> set[int]:
    """Those that mean success."""
    return {int(status) for status in operation.definition.raw["responses"] if status.startswith("2")}


def test_every_operation_succeeds_as_documented(service: Service) -> None:
    tried = set()

    def attempt(operation: Operation, asker: Asker) -> None:
        tried.add(operation.label)
        answer = asker.ask(headers=asker.request.headers)
        wanted = statuses(operation) if asker.request.status is None else {asker.request.status}
        assert {answer.status_code} == wanted, (operation.label, answer.text)
        assert set(declared(operation, "query")) - set(asker.request.query) <= UNASKED, operation.label
        assert set(declared(operation, "header")) == set(asker.request.headers), operation.label

    service.each(attempt)
    assert tried == service.labels()
    assert set(GOOD) <= tried
    opens_as_documented(service)


def opens_as_documented(service: Service) -> None:
    """The websocket, which schemathesis cannot ask for."""
    url = f"{service.url.replace('http', 'ws', 1)}/ws/v1/"
    with websockets.sync.client.connect(url, additional_headers=service.scene.ann.headers) as socket:
        assert socket.response is not None
        assert str(socket.response.status_code) in service.document["paths"]["/ws/v1/"]["get"]["responses"]
