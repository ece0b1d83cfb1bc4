"""Every error that leaves Django under /api is a problem document."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.db import DataError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views import defaults
from rest_framework import exceptions
from rest_framework.response import Response

from agents.problems import MEDIA_TYPE, FieldError, Problem, bad_key, no_route, unavailable
from agents.problems import not_found as no_such
from staff import refusals
from taskqueue.failures import QueueUnavailable


def problem_response(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler: translate what we know; the rest is a 500 without detail."""
    problem = _as_problem(error)
    if problem is None:
        return None
    return Response(problem.body(), status=problem.status, headers=problem.headers(), content_type=MEDIA_TYPE)


def _as_problem(error: Exception) -> Problem | None:
    match error:
        case Problem():
            return error
        case exceptions.ValidationError():
            fields = tuple(_fields(error.detail))
            first = fields[0]
            return Problem(400, "invalid", f"{first.field}: {first.message}", errors=fields)
        case exceptions.NotAuthenticated() | exceptions.AuthenticationFailed():
            return bad_key()
        case Http404() | exceptions.NotFound() | ObjectDoesNotExist():
            return no_such("object")
        case PermissionDenied():
            return Problem(403, "not_allowed", "This is not allowed.")
        case OperationalError() | InterfaceError():
            return unavailable("The database")
        case QueueUnavailable():
            return unavailable("The queue")
        case DataError():
            return Problem(400, "not_storable", f"This cannot be stored: {str(error).splitlines()[0]}")
        case exceptions.APIException():
            return Problem(error.status_code, str(error.default_code), str(error.detail))
        case _:
            return None


def _fields(detail: Any, path: str = "") -> Iterator[FieldError]:
    if isinstance(detail, dict):
        for name, inner in detail.items():
            here = path if name == "non_field_errors" else f"{path}.{name}" if path else str(name)
            yield from _fields(inner, here)
    elif isinstance(detail, list):
        for inner in detail:
            yield from _fields(inner, path)
    else:
        yield FieldError(path or "body", str(detail))


def as_http(problem: Problem) -> HttpResponse:
    """A problem as Django's response."""
    return JsonResponse(problem.body(), status=problem.status, headers=problem.headers(), content_type=MEDIA_TYPE)


def _is_api(request: HttpRequest) -> bool:
    return f"{request.path}/".startswith("/api/")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404 of an unknown URL: a problem for applications, a page for people."""
    if _is_api(request):
        return as_http(no_route(request.path))
    return refusals.not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """500, without a stack trace."""
    if _is_api(request):
        return as_http(Problem(500, "internal", "Something went wrong on our side; the error was logged."))
    return defaults.server_error(request)
