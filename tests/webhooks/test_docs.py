"""The examples of docs/webhooks.md are run."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

from tests.api.conftest import Application
from tests.api.conftest import ann as ann  # noqa: PLC0414 - a fixture
from tests.conftest import ROOT
from webhooks.events import EVENT_TYPES, PING
from webhooks.models import Delivery
from webhooks.signing import headers

PAGE = (ROOT / "docs" / "webhooks.md").read_text()


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found
    return found[1]


def test_the_examples_work_together(ann: Application) -> None:
    asked = re.search(r"127\.0\.0\.1:8000(\S+).*-d '(.*)'", block("sh"), re.DOTALL)
    assert asked
    made = ann.post(asked[1], json.loads(asked[2]))
    assert made.status_code == 201, made.content
    receiver: dict[str, Any] = {}
    exec(block("python"), receiver)
    ann.post(f"/api/v1/webhooks/{made.json()['id']}/test", None)
    delivery = Delivery.objects.for_tenant(ann.party.tenant).get()
    body = json.dumps(delivery.payload).encode()
    signed = headers(delivery=delivery.pk, at=datetime.now(UTC), body=body, secrets=[made.json()["secret"]])
    seen: set[str] = set()
    assert receiver["on_request"](body, signed, made.json()["secret"], seen) == delivery.payload
    assert receiver["on_request"](body, signed, made.json()["secret"], seen) is None


def test_every_type_is_told_of() -> None:
    for name in (*EVENT_TYPES, PING):
        assert f"`{name}`" in PAGE
    assert json.loads(block("json"))["type"] in EVENT_TYPES
