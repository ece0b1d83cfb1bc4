"""A tenant's application at Django's own routes, and what its refusals look like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from django.test import Client

from tests.scene import Party, Scene


@dataclass(frozen=True)
class Application:
    """Speaks JSON with one party's key."""

    party: Party
    client: Client

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        return self.client.generic(
            method,
            path,
            b"" if body is None else body if isinstance(body, bytes) else _json(body),
            content_type="application/json",
            headers={**self.party.headers, **headers},
        )

    def get(self, path: str, **query: Any) -> Any:
        return self.client.get(path, query, headers=self.party.headers)

    def post(self, path: str, body: Any) -> Any:
        return self.call("POST", path, body)

    def patch(self, path: str, body: Any) -> Any:
        return self.call("PATCH", path, body)

    def delete(self, path: str) -> Any:
        return self.call("DELETE", path)

    def names(self, path: str, name: str, **query: Any) -> list[Any]:
        """That member of every row, over all pages."""
        values: list[Any] = []
        answer = self.get(path, **query)
        while True:
            assert answer.status_code == 200, answer.content
            page = answer.json()
            values += [row[name] for row in page["results"]]
            if page["next"] is None:
                return values
            answer = self.get(page["next"])


def _json(body: Any) -> bytes:
    return msgspec.json.encode(body)


def refused(answer: Any, status: int, field: str | None = None, code: str | None = None) -> dict[str, Any]:
    """The problem document of a refusal, held against what is expected of it."""
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json"), answer.content
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == status
    if field is not None:
        assert [error["field"] for error in problem["errors"]] == [field], problem
    if code is not None:
        assert problem["code"] == code
    return problem


@pytest.fixture
def ann(scene: Scene) -> Application:
    return Application(scene.ann, Client(raise_request_exception=False))


@pytest.fixture
def bob(scene: Scene) -> Application:
    return Application(scene.bob, Client(raise_request_exception=False))
