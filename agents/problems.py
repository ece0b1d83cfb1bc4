"""Problem details (RFC 9457): one form of error for all faces. Pure; no face's framework is known here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

MEDIA_TYPE = "application/problem+json"

TITLES = {
    400: "Bad request",
    401: "Not authenticated",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    406: "Not acceptable",
    409: "Conflict",
    413: "Too large",
    415: "Unsupported media type",
    422: "Unprocessable",
    426: "Upgrade required",
    429: "Too many requests",
    500: "Internal error",
    502: "Another server failed",
    503: "Temporarily unavailable",
}

LIMIT_CODES = frozenset(
    {
        "too_many_waiting",
        "rate_limit_exceeded",
        "insufficient_quota",
        "over_token_limit",
        "pool_busy",
        "no_capacity",
    }
)
"""The codes of refusals because of how much was asked for, or of nobody to do it, whatever it was."""


class FieldError(msgspec.Struct, frozen=True):
    """What is wrong with one field. `field` is a path such as `parameters.temperature`."""

    field: str
    message: str


class Problem(Exception):
    """A refusal. `detail` tells the reader what to do; `code` is stable; `retry_after_s` goes into `Retry-After`.

    `more_headers` say more about it (the rate limits), `more` are further members of the document.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        errors: tuple[FieldError, ...] = (),
        retry_after_s: int | None = None,
        more_headers: Mapping[str, str] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail
        self.errors, self.retry_after_s = errors, retry_after_s
        self.more_headers, self.more = more_headers or {}, more or {}

    def body(self) -> dict[str, Any]:
        """The members of the problem document."""
        body: dict[str, Any] = {
            "type": "about:blank",
            "title": TITLES.get(self.status, "Error"),
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            **self.more,
        }
        if self.errors:
            body["errors"] = [{"field": error.field, "message": error.message} for error in self.errors]
        if self.retry_after_s is not None:
            body["retry_after_s"] = self.retry_after_s  # a websocket has no headers to say it in
        return body

    def headers(self) -> dict[str, str]:
        """Headers that belong to the refusal."""
        headers: dict[str, str] = dict(self.more_headers)
        if self.status == 401:
            headers["WWW-Authenticate"] = 'Bearer realm="opsite"'
        if self.retry_after_s is not None:
            headers["Retry-After"] = str(self.retry_after_s)
        return headers


def bad_field(field: str, message: str) -> Problem:
    """400 for one field, by its name."""
    return Problem(400, "invalid", f"{field}: {message}", errors=(FieldError(field, message),))


def bad_key() -> Problem:
    """401: no key, or one that is unknown, revoked or expired (which of them is not told)."""
    return Problem(401, "invalid_api_key", "Send a valid API key as `Authorization: Bearer …`.")


def tenant_inactive() -> Problem:
    """409: nothing is run for a tenant that is suspended."""
    return Problem(409, "tenant_inactive", "This tenant is suspended, so nothing is run for it; reactivate it first.")


def missing_scope(scope: str) -> Problem:
    """403: the key is valid but may not do this."""
    return Problem(403, "missing_scope", f"This API key lacks the scope {scope!r}; use another key.")


def not_found(what: str) -> Problem:
    """404, also for what belongs to another tenant."""
    return Problem(404, "not_found", f"There is no such {what}.")


def no_model(name: str) -> Problem:
    """404 for a model's name in OpenAI's API that is neither an agent's nor a pool's, or another tenant's."""
    message = f"There is no agent and no pool {name!r}; GET /v1/models lists them."
    return Problem(404, "model_not_found", message, errors=(FieldError("model", message),))


def no_route(path: str) -> Problem:
    """404 for a path that nothing serves."""
    return Problem(404, "not_found", f"There is no route {path}; see /api/docs/.")


def method_not_allowed(method: str, allowed: str) -> Problem:
    """405: the path is served, by other methods."""
    return Problem(405, "method_not_allowed", f"{method} is not served here; use {allowed}.")


def websocket_only() -> Problem:
    """426: the path is served, but not by plain HTTP."""
    return Problem(
        426,
        "upgrade_required",
        "This is a websocket; open it as one (see /api/docs/).",
        more_headers={"Connection": "Upgrade", "Upgrade": "websocket"},
    )


def too_large(limit_bytes: int) -> Problem:
    """413: the body is over the limit."""
    return Problem(413, "too_large", f"The body is larger than {limit_bytes} bytes; send less.")


def too_many_waiting(limit: int, retry_after_s: int = 1, *, owner: str = "this tenant") -> Problem:
    """429: the limit of waiting tasks of a tenant, or of an API key."""
    return Problem(
        429,
        "too_many_waiting",
        f"{limit} tasks of {owner} are waiting, which is its limit; try again when some have started.",
        retry_after_s=retry_after_s,
    )


def over_limit(*, code: str, limit: str, owner: str, retry_after_s: int, headers: Mapping[str, str]) -> Problem:
    """429: a limit per minute or per month; after `retry_after_s` the same request fits, if nothing else was sent meanwhile."""
    return Problem(
        429,
        code,
        f"The limit of {limit} of {owner} is reached; try again in {retry_after_s} s.",
        retry_after_s=retry_after_s,
        more_headers=headers,
    )


def budget_spent(owner: str, retry_after_s: int) -> Problem:
    """429: the money of the month is spent."""
    return Problem(
        429,
        "insufficient_quota",
        f"The month's budget of {owner} is spent; have it raised, or try again in {retry_after_s} s, when the next month begins.",
        retry_after_s=retry_after_s,
    )


def too_costly(*, cost: int, limit: str, owner: str) -> Problem:
    """413: waiting would not help."""
    return Problem(
        413,
        "over_token_limit",
        f"This request may take {cost} tokens, more than the limit of {limit} of {owner} ever allows; "
        "send less, or ask for fewer tokens.",
    )


def pool_busy(retry_after_s: int) -> Problem:
    """503: the pool has as much waiting as it may have, and this tenant its share of that."""
    return Problem(
        503,
        "pool_busy",
        f"Too much work waits for this model; nothing was accepted. Try again in {retry_after_s} s.",
        retry_after_s=retry_after_s,
    )


def no_capacity(reason: str, retry_after_s: int) -> Problem:
    """503: the pool can have no worker, however long one waits."""
    return Problem(
        503,
        "no_capacity",
        f"{reason} Nothing was accepted. Try again in {retry_after_s} s.",
        retry_after_s=retry_after_s,
    )


def conversation_busy(task: object) -> Problem:
    """409: a task of the conversation's branch has not ended, and the rule is to refuse what comes meanwhile."""
    return Problem(
        409,
        "conversation_busy",
        f"The task {task} of this conversation has not ended; wait for it, or send `when_busy`: queue, interrupt or roll_back.",
        more={"task": str(task)},
    )


def deadline_too_early(expected: Mapping[str, float | None] | None) -> Problem:
    """422: the task would expire before a worker could begin it. `expected`: how long it would wait, in seconds."""
    least = f"at least {expected['low']:g} s" if expected else "longer"
    return Problem(
        422,
        "deadline_too_early",
        f"The task would wait {least} before a worker can begin it, and expire by then. Nothing was accepted; give it more time.",
        more={"expected_wait_s": expected},
    )


def stream_lost() -> Problem:
    """503: Redis has lost the events of a task. The task itself is not lost."""
    return Problem(
        503,
        "stream_lost",
        "The events of this task are lost, the task is not: follow it again from your cursor.",
        retry_after_s=1,
    )


def unavailable(what: str, retry_after_s: int = 1) -> Problem:
    """503: a part of the service is away; nothing was accepted."""
    return Problem(503, "unavailable", f"{what} cannot be reached; try again.", retry_after_s=retry_after_s)
