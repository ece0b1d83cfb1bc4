"""Secrets by REST: names and dates come out, values only go in."""

from __future__ import annotations

from tenants.secrets import open_secrets
from tenants.services import issue_key
from tests.api.conftest import Application, refused
from tests.scene import Scene

VALUE = "sk-the-value-itself"


def test_a_secret_is_put_listed_and_deleted(ann: Application, bob: Application) -> None:
    made = ann.call("PUT", "/api/v1/secrets/API_KEY", {"value": VALUE})
    assert (made.status_code, set(made.json())) == (201, {"name", "created_at", "changed_at"})
    again = ann.call("PUT", "/api/v1/secrets/API_KEY", {"value": VALUE + "2"})
    assert (again.status_code, again.json()["created_at"]) == (200, made.json()["created_at"])
    listed = ann.get("/api/v1/secrets")
    assert listed.json()["results"] == [again.json()]
    for answer in (made, again, listed):
        assert VALUE not in answer.content.decode()
    assert open_secrets(ann.party.tenant.pk, ["API_KEY"]) == {"API_KEY": VALUE + "2"}
    assert bob.get("/api/v1/secrets").json()["results"] == []
    refused(bob.delete("/api/v1/secrets/API_KEY"), 404)
    assert ann.delete("/api/v1/secrets/API_KEY").status_code == 204
    refused(ann.delete("/api/v1/secrets/API_KEY"), 404)


def test_what_does_not_fit_is_named(ann: Application) -> None:
    refused(ann.call("PUT", "/api/v1/secrets/a b", {"value": VALUE}), 400, "name")
    refused(ann.call("PUT", "/api/v1/secrets/a", {"value": "abc"}), 400, "value")
    refused(ann.call("PUT", "/api/v1/secrets/a", {"value": "a\nb\nc"}), 400, "value")
    refused(ann.call("PUT", "/api/v1/secrets/a", {}), 400, "value")
    refused(ann.call("PUT", "/api/v1/secrets/a", {"value": VALUE, "note": "x"}), 400, "note")
    refused(ann.get("/api/v1/secrets", name="a"), 400, "name")
    refused(ann.get("/api/v1/secrets/a"), 405)


def test_secrets_have_scopes_of_their_own(ann: Application, scene: Scene) -> None:
    key = issue_key(tenant=scene.ann.tenant, name="tasks", scopes=["tasks:write", "secrets:read"]).secret
    headers = {"Authorization": f"Bearer {key}"}
    assert ann.call("GET", "/api/v1/secrets", **headers).status_code == 200
    refused(ann.call("PUT", "/api/v1/secrets/a", {"value": VALUE}, **headers), 403, code="missing_scope")
