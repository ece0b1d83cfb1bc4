"""What docs/webhooks.md tells a receiver is true of a real message. (tests/clients runs the page's examples.)"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from tests.api.conftest import Application
from tests.api.conftest import ann as ann  # noqa: PLC0414 - a fixture
from tests.clients.pages import blocks_of
from tests.conftest import ROOT
from webhooks.events import EVENT_TYPES, PING
from webhooks.models import Delivery
from webhooks.signing import headers

PAGE = (ROOT / "docs" / "webhooks.md").read_text()
(RECEIVER,) = [block.text for block in blocks_of(PAGE) if block.language == "python"]
(MESSAGE,) = [json.loads(block.text) for block in blocks_of(PAGE) if block.language == "json" and block.is_excused]


def test_the_receiver_takes_a_message_once(ann: Application) -> None:
    made = ann.post("/api/v1/webhooks", {"url": "https://app.example.com/opsite"})
    assert made.status_code == 201, made.content
    receiver: dict[str, Any] = {}
    exec(RECEIVER, receiver)
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
    assert MESSAGE["type"] in EVENT_TYPES
