"""Webhooks by REST: endpoints, secrets that are shown once, deliveries, replays."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from django.utils import timezone

from tenants.services import issue_key
from tests.api.conftest import Application, refused
from tests.scene import Scene
from webhooks.models import Delivery, Endpoint
from webhooks.services import ENDPOINTS_MAX

HOOK = {"url": "https://hooks.example/opsite", "description": "ours", "event_types": ["task.failed"]}


def made(app: Application, **more: Any) -> dict[str, Any]:
    answer = app.post("/api/v1/webhooks", {**HOOK, **more})
    assert answer.status_code == 201, answer.content
    body: dict[str, Any] = answer.json()
    return body


def test_a_secret_is_shown_at_creation_and_rotation_only(ann: Application) -> None:
    hook = made(ann)
    assert hook["secret"].startswith("whsec_")
    path = f"/api/v1/webhooks/{hook['id']}"
    rotated = ann.post(f"{path}/rotate", {"overlap_s": 60}).json()
    assert rotated["secret"].startswith("whsec_")
    assert rotated["secret"] != hook["secret"]
    assert rotated["old_secret_expires_at"] is not None
    sealed = Endpoint.objects.for_tenant(ann.party.tenant).get()
    for answer in (ann.get(path), ann.get("/api/v1/webhooks"), ann.patch(path, {"description": "x"})):
        assert answer.status_code == 200
        said = answer.content.decode()
        assert not any(
            word in said for word in (hook["secret"], rotated["secret"], sealed.secret, "whsec_", '"secret"')
        )
    assert ann.post(f"{path}/rotate", {}).json()["old_secret_expires_at"] is not None
    assert ann.post(f"{path}/rotate", {"overlap_s": 0}).json()["old_secret_expires_at"] is None
    refused(ann.post(f"{path}/rotate", {"overlap_s": 604801}), 400, "overlap_s")


def test_an_endpoint_is_changed_listed_and_deleted(ann: Application) -> None:
    hook = made(ann)
    path = f"/api/v1/webhooks/{hook['id']}"
    change = {
        "url": "https://other.example/",
        "event_types": ["task.expired", "task.failed", "task.failed"],
        "enabled": False,
    }
    changed = ann.patch(path, change).json()
    assert (changed["url"], changed["enabled"]) == ("https://other.example/", False)
    assert changed["event_types"] == ["task.expired", "task.failed"]
    assert changed["description"] == "ours"
    other = made(ann, event_types=[])
    assert ann.names("/api/v1/webhooks", "id") == [other["id"], hook["id"]]
    assert ann.names("/api/v1/webhooks", "id", enabled="false") == [hook["id"]]
    assert ann.delete(path).status_code == 204
    refused(ann.get(path), 404)


def test_what_does_not_fit_is_named(ann: Application) -> None:
    for url in (
        "http://127.0.0.1/",
        "http://[::1]/",
        "ftp://a.example/",
        "https://u:p@a.example/",
        "http://2130706433/",
        "x",
    ):
        refused(ann.post("/api/v1/webhooks", {"url": url}), 400, "url")
    refused(ann.post("/api/v1/webhooks", {**HOOK, "event_types": ["task.nope"]}), 400, "event_types")
    refused(ann.post("/api/v1/webhooks", {**HOOK, "secret": "whsec_x"}), 400, "secret")
    refused(ann.post("/api/v1/webhooks", {}), 400, "url")
    path = f"/api/v1/webhooks/{made(ann)['id']}"
    refused(ann.patch(path, {"url": "http://10.0.0.1/"}), 400, "url")
    refused(ann.get(f"{path}/deliveries", state="odd"), 400, "state")
    refused(ann.get("/api/v1/webhooks", color="red"), 400, "color")


def test_a_tenant_has_so_many_endpoints(ann: Application, bob: Application) -> None:
    for _ in range(ENDPOINTS_MAX):
        made(ann)
    refused(ann.post("/api/v1/webhooks", HOOK), 409, code="too_many_endpoints")
    made(bob)


def test_a_test_is_delivered_and_replayed(ann: Application) -> None:
    path = f"/api/v1/webhooks/{made(ann)['id']}"
    sent = ann.post(f"{path}/test", None)
    assert sent.status_code == 202
    delivery = sent.json()
    assert (delivery["type"], delivery["state"], delivery["attempts"]) == ("webhook.test", "pending", [])
    assert delivery["webhook_id"] == f"msg_{uuid.UUID(delivery['id']).hex}"
    refused(ann.post(f"{path}/deliveries/{delivery['id']}/replay", None), 409, code="delivery_pending")

    row = Delivery.objects.for_tenant(ann.party.tenant).get()
    now = timezone.now()
    answer = {"number": 1, "at": now, "duration_ms": 12, "status": 500, "excerpt": "no"}
    row.attempts.create(tenant=ann.party.tenant, **answer)
    row.state, row.finished_at, row.give_up_at = "failed", now, now - timedelta(hours=1)
    row.save()
    (listed,) = ann.get(f"{path}/deliveries").json()["results"]
    assert (listed["state"], listed["next_attempt_at"]) == ("failed", None)
    assert [(each["number"], each["status"], each["error"]) for each in listed["attempts"]] == [(1, 500, None)]
    assert ann.get(f"{path}/deliveries", state="delivered").json()["results"] == []

    again = ann.post(f"{path}/deliveries/{delivery['id']}/replay", None)
    assert (again.status_code, again.json()["state"], again.json()["webhook_id"]) == (
        202,
        "pending",
        delivery["webhook_id"],
    )
    row.refresh_from_db()
    assert row.give_up_at > now
    refused(ann.post(f"{path}/deliveries/{uuid.uuid4()}/replay", None), 404)
    refused(ann.post(f"{path}/deliveries/none/replay", None), 404)
    ann.patch(path, {"enabled": False})
    refused(ann.post(f"{path}/test", None), 409, code="endpoint_disabled")


def test_another_tenant_s_endpoint_is_not_there(ann: Application, bob: Application) -> None:
    path = f"/api/v1/webhooks/{made(ann)['id']}"
    delivery = ann.post(f"{path}/test", None).json()["id"]
    for answer in (
        bob.get(path), bob.patch(path, {"enabled": False}), bob.delete(path), bob.post(f"{path}/rotate", {}),
        bob.post(f"{path}/test", None), bob.get(f"{path}/deliveries"), bob.post(f"{path}/deliveries/{delivery}/replay", None),
    ):  # fmt: skip
        refused(answer, 404)
    mine = f"/api/v1/webhooks/{made(bob)['id']}"
    refused(bob.post(f"{mine}/deliveries/{delivery}/replay", None), 404)
    assert bob.get(f"{mine}/deliveries").json()["results"] == []


def test_webhooks_have_scopes_of_their_own(ann: Application, scene: Scene) -> None:
    key = issue_key(tenant=scene.ann.tenant, name="reads", scopes=["webhooks:read"]).secret
    headers = {"Authorization": f"Bearer {key}"}
    assert ann.call("GET", "/api/v1/webhooks", **headers).status_code == 200
    refused(ann.call("POST", "/api/v1/webhooks", HOOK, **headers), 403, code="missing_scope")
