"""No value, in whatever place of whatever operation, makes the server fail or answer as the document does not say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conformance.effort import HOSTILE, TIMEOUT_S
from tests.conformance.hostile import HEADERS, OTHERS, TEXTS, places, replaced, without
from tests.conformance.service import Asker, Operation, Service, declared

pytestmark = pytest.mark.timeout(TIMEOUT_S)


class Dealt:
    """Deals values out, a few for each place: each comes up before one comes up again."""

    def __init__(self, values: list[Any]) -> None:
        self._values, self._begin = values, 0

    def some(self) -> list[Any]:
        """The next few."""
        numbers = range(self._begin, self._begin + min(HOSTILE, len(self._values)))
        self._begin = numbers.stop
        return [self._values[number % len(self._values)] for number in numbers]


TEXT, OTHER, HEADER = Dealt(TEXTS), Dealt(OTHERS), Dealt(HEADERS)


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
    for operation in service.operations():
        asker = Asker(service, operation)
        for attempt in attempts(operation, asker):
            asker.ask(**attempt)
