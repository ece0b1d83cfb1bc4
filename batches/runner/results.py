"""A line's end as a line of the output file or of the error file. Pure."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from agents.faces.database import Row
from agents.faces.openai.errors import error_body
from agents.faces.openai.outcome import has_answer, problem_of
from agents.lifecycle import TaskState
from agents.problems import Problem
from batches.endpoints import Endpoint, outcome_of
from batches.identifiers import LINE, shown
from batches.lines import Failure, failed

EXPIRED = failed("batch_expired", "This request could not be executed before the completion window expired.")
CANCELLED = failed("batch_cancelled", "This request could not be executed because the batch was cancelled.")


class Result(NamedTuple):
    """`text` ends with a line feed. `is_expired`: it was not done in time."""

    text: bytes
    is_answer: bool
    is_expired: bool = False


def refused(line: str, problem: Problem) -> Failure:
    """A refusal as it would have been answered."""
    return {
        "response": {"status_code": problem.status, "request_id": line, "body": error_body(problem)},
        "error": None,
    }


def result_of(row: Row, endpoint: Endpoint, *, stopped: Failure | None) -> Result:
    """What became of a line that ended (a row of `statements.RESULTS`). `stopped`: why tasks were cancelled, if they were."""
    if row["failure"] is not None:
        return _result(row, row["failure"])
    outcome = outcome_of(row)
    if has_answer(outcome):
        body = endpoint.answer(row)
        return _result(row, {"response": _response(row, 200, body), "error": None}, is_answer=True)
    if row["state"] == TaskState.EXPIRED:
        return _result(row, EXPIRED)
    if row["state"] == TaskState.CANCELLED and stopped is not None:
        return _result(row, stopped)
    problem = problem_of(outcome, text=row["output"])
    return _result(row, {"response": _response(row, problem.status, error_body(problem)), "error": None})


def _response(row: Row, status: int, body: dict[str, Any]) -> dict[str, Any]:
    return {"status_code": status, "request_id": str(row["task"]), "body": body}


def _result(row: Row, end: Failure, *, is_answer: bool = False) -> Result:
    line = {"id": shown(LINE, row["id"]), "custom_id": row["custom_id"], **end}
    return Result(msgspec.json.encode(line) + b"\n", is_answer, end == EXPIRED)
