"""Every operation of the document succeeds when it is asked well, and its answer is as the document says."""

from __future__ import annotations

import pytest

from tests.conformance.good_requests import GOOD, good
from tests.conformance.service import Names, Service

pytestmark = pytest.mark.timeout(170)


def test_every_operation_succeeds_as_documented(service: Service) -> None:
    tried, own = set(), service.tenant()
    own.second_revision()
    bad = []
    for operation in service.operations():
        tried.add(operation.label)
        try:
            request = good(operation.label, own)
            case = operation.Case(
                path_parameters=Names(operation, own).take(), query=request.query, headers=request.headers,
                **({} if request.body is None else {"body": request.body, "media_type": "application/json"}),
            )  # fmt: skip
            if request.files:
                continue
            answer = service.call(case, own.headers)
            wanted = {request.status} if request.status else {
                int(s) for s in operation.definition.raw["responses"] if s.startswith("2")}
            if answer.status_code not in wanted:
                bad.append((operation.label, answer.status_code, answer.text[:300]))
        except BaseException as e:
            import traceback
            bad.append((operation.label, type(e).__name__, str(e)[:1500]))
    for b in bad: print(*b, sep="\n   ")
    print(set(GOOD) - tried)
    assert tried == service.labels()
    assert not bad
