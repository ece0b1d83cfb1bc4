"""What all operations of the OpenAPI document have: bodies, refusals, and who may call."""

from __future__ import annotations

from typing import Any

from agents.api.openapi.forms import Schema, ref
from agents.api.openapi.headers import RATE_LIMITS

JSON = "application/json"
STREAM = "text/event-stream"
SECURITY: list[dict[str, list[str]]] = [{"ApiKey": []}]
REFUSALS = {
    400: "A field does not fit; it is named",
    401: "No valid API key",
    403: "The key lacks the scope",
    404: "There is no such object, or it is another tenant's",
    406: "`Accept` names no form in which this is answered",
    409: "It conflicts with what is there",
    413: "The body is too large, or may cost more tokens than a limit ever allows",
    415: "The body is of a kind that is not read here",
    422: "The idempotency key was used for another body in the last 24 hours, or the deadline comes too early",
    426: "The request asks for no websocket",
    429: "A limit of the tenant or of the key is reached; see Retry-After",
    500: "The task failed, or something went wrong on our side",
    502: "A server that was asked for this failed; the detail says how",
    503: "The queue or the database is away, too much work waits, or no worker can come; nothing was accepted",
}
ALWAYS = (401, 403, 503)


def content(schema: Schema, media_type: str = JSON) -> dict[str, Any]:
    """A body of that schema."""
    return {"content": {media_type: {"schema": schema}}}


def refusals(*statuses: int, openai: bool = False) -> dict[str, Any]:
    """Answers of these statuses, each with what it means here; as problems, or in OpenAI's form."""
    form = content(ref("OpenAIError")) if openai else content(ref("Problem"), "application/problem+json")
    wait = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}}
    return {
        str(status): {
            "description": REFUSALS[status],
            **({"headers": {**wait, **(RATE_LIMITS if status == 429 else {})}} if status in (429, 503) else {}),
            **form,
        }
        for status in sorted(statuses)
    }


def operation(
    name: str, summary: str, answers: dict[str, Any], *refused: int, tag: str = "tasks", body: str = "", **more: Any
) -> dict[str, Any]:
    """An operation of a hot route with its refusals; `body` names the schema of what it takes."""
    described = {
        "operationId": name,
        "summary": summary,
        "tags": [tag],
        "security": SECURITY,
        "responses": {**answers, **refusals(*ALWAYS, *refused, openai=tag == "openai")},
        **more,
    }
    if body:
        described["requestBody"] = {"required": True, **content(ref(body))}
    return described
