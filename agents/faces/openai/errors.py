"""Refusals in OpenAI's form, so that its clients raise the class that fits."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from agents.faces import answers
from agents.problems import Problem

_TYPES = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error",
          413: "invalid_request_error", 422: "invalid_request_error", 429: "rate_limit_error"}  # fmt: skip


def failure(problem: Problem) -> Response:
    """A refusal as an answer."""
    return answers.json(error_body(problem), problem.status, problem.headers())


def error_body(problem: Problem) -> dict[str, Any]:
    """A refusal as JSON: in an answer, or in a stream that has begun. `output`: the text of an answer that lacks its form."""
    return {
        "error": {
            "message": problem.detail,
            "type": _TYPES.get(problem.status, "server_error"),
            "param": problem.errors[0].field if problem.errors else None,
            "code": problem.code,
            **({"output": problem.more["output"]} if "output" in problem.more else {}),
        }
    }
