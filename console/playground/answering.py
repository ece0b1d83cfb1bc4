"""How the playground's actions are asked and answered: JSON in, JSON out, and a refusal as a problem document."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import msgspec
from django.http import HttpResponseBase, JsonResponse

from agents.faces.requests import decode
from agents.models import Agent
from agents.problems import MEDIA_TYPE, Problem, bad_field, not_found, unavailable
from console.frame import StaffRequest
from console.playground import choices
from staff.access import NotForRole
from taskqueue.failures import QueueUnavailable
from tenants.models import Tenant

S = TypeVar("S", bound=msgspec.Struct)


def answers_json(view: Callable[..., dict[str, Any] | HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """A view that returns plain values, or a response; a `Problem` becomes its document, with its status."""

    @wraps(view)
    def answered(request: StaffRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            found = view(request, *args, **kwargs)
            return found if isinstance(found, HttpResponseBase) else JsonResponse(found)
        except Problem as problem:
            return _refusal(problem)
        except QueueUnavailable:
            return _refusal(unavailable("The queue"))

    return answered


def asked(request: StaffRequest, form: type[S]) -> S:
    """The request's body, or the problem that names the field."""
    return decode(request.body, form)


def tenant_of(request: StaffRequest, slug: str, *, to_run: bool = False) -> Tenant:
    """The tenant, or 404 where it is not this viewer's to see; 403 where it is to run something and may not."""
    tenant = choices.tenants_of(request.access).filter(slug=slug).first()
    if tenant is None:
        raise not_found("tenant")
    if to_run and not request.access.may_change(tenant.pk):
        raise NotForRole("operators and administrators of the tenant")
    return tenant


def agent_of(tenant: Tenant, slug: str) -> Agent:
    """The tenant's agent, or 404."""
    if not slug:
        raise bad_field("agent", "choose one")
    agent = choices.agents_of(tenant).filter(slug=slug).first()
    if agent is None:
        raise not_found("agent")
    return agent


def _refusal(problem: Problem) -> JsonResponse:
    return JsonResponse(problem.body(), status=problem.status, content_type=MEDIA_TYPE, headers=problem.headers())
