"""Requests that schemathesis makes of the document, valid and not: no answer is other than the document says."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode

from tests.conformance.effort import EXAMPLES, TIMEOUT_S
from tests.conformance.service import Asker, Operation, Service

pytestmark = pytest.mark.timeout(TIMEOUT_S)
RULES = settings(
    max_examples=EXAMPLES, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)


def send_made_up(asker: Asker, operation: Operation, mode: GenerationMode) -> None:
    """Half of the requests name an object that there is. What is to be valid has some members of a good body."""
    good = asker.request.body if mode == GenerationMode.POSITIVE and asker.request.body else {}

    @RULES
    @given(
        case=operation.as_strategy(generation_mode=mode),
        known=st.booleans(),
        kept=st.sets(st.sampled_from(sorted(good))) if good else st.just(set[str]()),
    )
    def send(case: Case, known: bool, kept: set[str]) -> None:
        if known and case.path_parameters:
            case.path_parameters.update(asker.names())
        if isinstance(case.body, dict):
            case.body.update({name: good[name] for name in kept})
        asker.send(case)

    with contextlib.suppress(Unsatisfiable):  # nothing can be wrong with a request without parameters
        send()


def test_made_up_requests_get_documented_answers(service: Service) -> None:
    def attempt(operation: Operation, asker: Asker) -> None:
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            send_made_up(asker, operation, mode)

    service.each(attempt)
