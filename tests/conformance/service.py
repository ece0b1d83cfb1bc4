"""The served API as its own document describes it, and answers that are held against the document."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import httpx
import requests
import schemathesis
from schemathesis import APIOperation, Case
from schemathesis.specs.openapi import checks

from tests.conformance.belongings import Belongings, named
from tests.scene import Scene

PATIENCE_S = 60.0
CHECKS = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
SAFE = ("GET", "HEAD")
Operation = APIOperation[Any, Any, Any, Any]


@dataclass
class Service:
    """A web process with one worker behind it."""

    url: str
    scene: Scene
    mcp_url: str

    @cached_property
    def document(self) -> dict[str, Any]:
        """As anybody reads it."""
        answer = httpx.get(f"{self.url}/api/schema/", params={"format": "json"}, timeout=PATIENCE_S)
        assert answer.status_code == 200
        document: dict[str, Any] = answer.json()
        return document

    @cached_property
    def session(self) -> requests.Session:
        """Connections that are used again."""
        return requests.Session()

    def labels(self) -> set[str]:
        """`METHOD path` of all that stands in the document."""
        paths = self.document["paths"].items()
        return {f"{method.upper()} {path}" for path, operations in paths for method in operations}

    def operations(self) -> Iterator[Operation]:
        """Each of them, as schemathesis reads it."""
        schema = schemathesis.openapi.from_dict(self.document)
        schema.validate()
        for result in schema.get_all_operations():
            yield result.ok()

    def tenant(self) -> Belongings:
        """A new tenant."""
        return Belongings(pool=self.scene.pool, url=self.url, mcp_url=self.mcp_url)

    def call(self, case: Case, headers: dict[str, str]) -> Any:
        """The answer, which fits the document."""
        answer = case.call(base_url=self.url, headers=headers, session=self.session, timeout=PATIENCE_S)
        case.validate_response(answer, checks=CHECKS)
        return answer


class Names:
    """Path parameters of an operation that name objects: one for all reads, a fresh one for each request that may change it."""

    def __init__(self, operation: Operation, own: Belongings) -> None:
        self._path, self._is_safe, self._own = operation.path, operation.method.upper() in SAFE, own
        self._kept: dict[str, str] | None = None

    def take(self) -> dict[str, str]:
        if self._kept is None or not self._is_safe:
            self._kept = named(self._path, self._own)
        return dict(self._kept)
