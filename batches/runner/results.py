"""A line's end as a line of the output file or of the error file. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from agents.faces.database import Row
from agents.faces.openai.errors import error_body
from agents.faces.openai.outcome import has_answer, problem_of
from agents.lifecycle import TaskState
from agents.problems import Problem
from batches.endpoints import Ended, Endpoint, outcome_of
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


def result_of(rows: Sequence[Row], endpoint: Endpoint, *, stopped: Failure | None) -> Result:
    """What became of a line that ended: its rows of `statements.RESULTS`. `stopped`: why tasks were cancelled, if they were.

    It is an answer if each of its tasks has one, and else the failure of the first that has none. One that the endpoint cannot read
    is a failure as well: one line must not keep its batch from ending.
    """
    first = rows[0]
    if first["failure"] is not None:
        return _result(first, first["failure"])
    row = next((one for one in rows if not has_answer(outcome_of(one))), None)
    if row is None:
        try:
            body = endpoint.answer(Ended(first["model"], first["asked"], rows))
        except Problem as problem:
            return _failed(first, problem)
        return _result(first, {"response": _response(first, 200, body), "error": None}, is_answer=True)
    outcome = outcome_of(row)
    if row["state"] == TaskState.EXPIRED:
        return _result(row, EXPIRED)
    if row["state"] == TaskState.CANCELLED and stopped is not None:
        return _result(row, stopped)
    return _failed(row, problem_of(outcome, text=row["output"]))


def _failed(row: Row, problem: Problem) -> Result:
    return _result(row, {"response": _response(row, problem.status, error_body(problem)), "error": None})


def _response(row: Row, status: int, body: dict[str, Any]) -> dict[str, Any]:
    return {"status_code": status, "request_id": str(row["task"]), "body": body}


def _result(row: Row, end: Failure, *, is_answer: bool = False) -> Result:
    line = {"id": shown(LINE, row["id"]), "custom_id": row["custom_id"], **end}
    return Result(msgspec.json.encode(line) + b"\n", is_answer, end == EXPIRED)
