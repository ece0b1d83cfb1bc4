"""The served API as its own document describes it, and answers that are held against the document."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import requests
import schemathesis
from schemathesis import APIOperation, Case
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi import checks

from tests.conformance.belongings import Belongings, named
from tests.conformance.good_requests import good
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
JSON = "application/json"
Operation = APIOperation[Any, Any, Any, Any]


@dataclass
class Service:
    """A web process with one worker behind it."""

    url: str
    scene: Scene
    mcp_url: str
    checked: int = 0
    """Answers that were held against the document."""

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

    @cached_property
    def own(self) -> Belongings:
        """The tenant that asks."""
        return Belongings(pool=self.scene.pool, url=self.url, mcp_url=self.mcp_url)

    def labels(self) -> set[str]:
        """`METHOD path` of all that stands in the document."""
        paths = self.document["paths"].items()
        return {f"{method.upper()} {path}" for path, operations in paths for method in operations}

    def operations(self) -> list[Operation]:
        """Each of them, as schemathesis reads it. The document is a valid one, and none is left out."""
        schema = schemathesis.openapi.from_dict(self.document)
        schema.validate()
        found = [result.ok() for result in schema.get_all_operations()]
        assert {operation.label for operation in found} == self.labels()
        return found

    def each(self, attempt: Callable[[Operation, Asker], None]) -> None:
        """Attempt something with every operation. What fails with some of them is told together, in the end."""
        failures = []
        for operation in self.operations():
            try:
                attempt(operation, Asker(self, operation))
            except (Exception, FailureGroup) as failure:
                failures.append(f"{operation.label}: {failure}")
        # As text: schemathesis' plugin of pytest shows one of several failures of a kind.
        assert not failures, "\n\n".join(failures)

    def close(self) -> None:
        """Let the connections go."""
        self.session.close()


class Asker:
    """Asks one operation for things, and checks the answers.

    The object in the path is there; after a request that may have changed it, or deleted it, it is another one.
    """

    def __init__(self, service: Service, operation: Operation) -> None:
        self.own = service.own
        self.request = good(operation.label, self.own)
        self._service, self._operation = service, operation
        self._kept: dict[str, str] | None = None
        self._case = operation.Case(path_parameters=self.names())

    def names(self) -> dict[str, str]:
        """The path's parameters."""
        if self._kept is None:
            self._kept = named(self._operation.path, self.own)
        return dict(self._kept)

    def ask(
        self,
        *,
        names: Mapping[str, str] = {},
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, Any] = {},
        body: Any = None,
        raw: bytes | None = None,
        files: Mapping[str, Any] | None = None,
    ) -> requests.Response:
        """The answer to the good request with other parts in it; it is documented. `raw` is the body's very bytes.

        The path and the query may hold what is no UTF-8, and JSON what is no JSON.
        """
        path = self._operation.path
        for name, value in {**self.names(), **names}.items():
            path = path.replace(f"{{{name}}}", quote(value, safe="", errors="surrogatepass"))
        asked = urlencode(self.request.query if query is None else query, errors="surrogatepass", doseq=True)
        sent: dict[str, Any] = {"headers": {**self.own.headers, **headers}}
        if raw is not None:
            sent["data"] = raw
        elif self.request.files is not None:
            sent["files"] = files or self.request.files
        elif self.request.body is not None:
            sent["headers"].setdefault("Content-Type", JSON)
            sent["data"] = json.dumps(self.request.body if body is None else body)
        answer = self._service.session.request(
            self._operation.method, f"{self._service.url}{path}?{asked}", timeout=PATIENCE_S, **sent
        )
        self.check(self._case, answer)
        return answer

    def send(self, case: Case) -> None:
        """As schemathesis has made the request."""
        answer = case.call(
            base_url=self._service.url, headers=self.own.headers, session=self._service.session, timeout=PATIENCE_S
        )
        self.check(case, answer)

    def check(self, case: Case, answer: requests.Response | schemathesis.Response) -> None:
        """The answer fits the document."""
        if answer.status_code < 300 and self._operation.method.upper() not in SAFE:
            self._kept = None
        self._service.checked += 1
        case.validate_response(answer, checks=CHECKS)


def declared(operation: Operation, place: str) -> list[str]:
    """The names of the parameters that an operation takes there."""
    return [one["name"] for one in operation.definition.raw.get("parameters", ()) if one["in"] == place]
