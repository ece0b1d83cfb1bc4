"""No value, in whatever place of whatever operation, makes the server fail or answer as the document does not say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conformance.effort import HOSTILE, TIMEOUT_S, Dealt
from tests.conformance.hostile import HEADERS, OTHERS, TEXTS, places, replaced, without
from tests.conformance.service import Asker, Operation, Service, declared

pytestmark = pytest.mark.timeout(TIMEOUT_S)


TEXT, OTHER, HEADER = Dealt(TEXTS, HOSTILE), Dealt(OTHERS, HOSTILE), Dealt(HEADERS, HOSTILE)


def attempts(operation: Operation, asker: Asker) -> Iterator[dict[str, Any]]:
    """Parts of requests, each with one hostile value."""
    request = asker.request
    for name in declared(operation, "path"):
        # What is empty, and dots alone, make another path.
        yield from ({"names": {name: text}} for text in TEXT.some() if text.strip("./"))
    for name in dict.fromkeys([*declared(operation, "query"), *request.query]):
        yield from ({"query": {**request.query, name: text}} for text in TEXT.some())
    yield from ({"query": {text: text}} for text in TEXT.some())
    for name in declared(operation, "header"):
        yield from ({"headers": {name: text.encode("latin-1")}} for text in HEADER.some())
    for place in () if request.body is None else places(request.body):
        yield from ({"body": replaced(request.body, place, new)} for new in (*TEXT.some(), *OTHER.some()))
        if place:
            yield {"body": without(request.body, place)}
    for name, (filename, data, *kind) in (request.files or {}).items():
        texts = [text.encode(errors="surrogatepass") for text in TEXT.some()]
        yield from ({"files": {**request.files, name: (filename, text, *kind)}} for text in texts)
        yield {"files": {other: value for other, value in (request.files or {}).items() if other != name}}
        yield from ({"files": {**request.files, name: (text, data, *kind)}} for text in ("a\x00b", "x" * 5000, "²"))


def test_no_value_makes_the_server_fail(service: Service) -> None:
    def attempt(operation: Operation, asker: Asker) -> None:
        for parts in attempts(operation, asker):
            asker.ask(**parts)

    service.each(attempt)
