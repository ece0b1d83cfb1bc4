"""Views of the pools' pages: parse, one call, format."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.contrib import messages
from django.db.models import Count, Q
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from console.frame import NotFound, StaffRequest, render_page, staff_page
from console.pools import policies, state, timeline
from console.pools.actions import ACTIONS, perform
from console.pools.forms import PolicyForm, SizeForm, policy_of
from console.pools.policies import Changed
from orchestrator import records, trial_runs
from orchestrator.models import Pool, ScalingDecision, Worker
from orchestrator.steering import NotNow
from orchestrator.trial_runs import TooMuch
from orchestrator.trials import Material, TooLittle, Unreadable
from staff.access import NotForRole

LISTED = 500


def pool_page(*, operators_only: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A page of one pool for staff that sees all tenants; for tenant administrators there is no such page."""

    def gate(view: Callable[..., Any]) -> Callable[..., Any]:
        @staff_page(for_tenant_administrators=True)
        @wraps(view)
        def seen(request: StaffRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not request.access.sees_all_tenants:
                raise Http404
            if operators_only and not request.access.is_operator:
                raise NotForRole("operators")
            return view(request, *args, **kwargs)

        return seen

    return gate


def _pool(slug: str) -> Pool:
    try:
        return state.found(slug)
    except NotFound as missing:
        raise Http404 from missing


@require_GET
@pool_page()
def index(request: StaffRequest) -> HttpResponseBase:
    """All pools, shortly."""
    workers = Count("workers", filter=Q(workers__state__in=Worker.LIVE))
    pools = Pool.objects.select_related("rollout", "policy").annotate(live=workers).order_by("slug")[:LISTED]
    return render_page(
        request, "console/pools/index.html", title="Pools", pools=pools, may_act=request.access.is_operator
    )


@require_GET
@pool_page()
def page(request: StaffRequest, slug: str) -> HttpResponseBase:
    """One pool."""
    pool = _pool(slug)
    return _page(request, pool, PolicyForm(pool))


def _page(request: StaffRequest, pool: Pool, form: PolicyForm, *, status: int = 200) -> HttpResponseBase:
    decision = _asked_for(request, pool)
    span, until = timeline.span_around(decision, now=time.time()) if decision else ("1h", 0.0)
    response = render_page(
        request,
        "console/pools/page.html",
        title=f"Pool {pool.slug}",
        trail=[("Pools", reverse("console:pools"))],
        pool=pool,
        policy=policy_of(pool),
        form=form,
        size_form=SizeForm(),
        actions=ACTIONS,
        may_act=request.access.is_operator,
        spans=timeline.SPANS,
        span=span,
        until=until if decision and until < time.time() - 60 else 0,
        decision=decision,
        override=records.override_of(pool, now=time.time()),
    )
    response.status_code = status
    return response


def _asked_for(request: HttpRequest, pool: Pool) -> ScalingDecision | None:
    """The decision that the address names, if it is one of this pool's."""
    if not (asked := request.GET.get("decision")):
        return None
    try:
        found = pool.decisions.filter(pk=UUID(asked)).first()
    except ValueError:
        found = None
    if found is None:
        messages.warning(request, "There is no such decision of this pool.")
    return found


@require_GET
@pool_page()
def series(request: StaffRequest, slug: str) -> HttpResponseBase:
    """The timeline's columns and decisions: `?span=6h&until=<Unix s>` (now without)."""
    span = request.GET.get("span", "1h")
    if span not in timeline.SPANS:
        return JsonResponse({"error": f"span is one of {', '.join(timeline.SPANS)}."}, status=400)
    try:
        until = min(float(request.GET.get("until") or time.time()), time.time())
    except ValueError:
        return JsonResponse({"error": "until is a moment in Unix seconds."}, status=400)
    if not until >= 0:
        return JsonResponse({"error": "until is a moment in Unix seconds."}, status=400)
    return JsonResponse(timeline.read(_pool(slug), span=span, until=until))


@require_POST
@pool_page(operators_only=True)
def act(request: StaffRequest, slug: str, action: str) -> HttpResponseBase:
    """Say something to the pool."""
    pool = _pool(slug)
    if action not in ACTIONS:
        raise Http404
    said: dict[str, Any] = {}
    if action == "size":
        form = SizeForm(request.POST)
        if not form.is_valid():
            for field, errors in form.errors.items():
                messages.error(request, f"{field}: {' '.join(map(str, errors))}")
            return redirect("console:pool", slug=slug)
        said = form.cleaned_data
    try:
        messages.success(request, perform(request, pool, action, said))
    except NotNow as why:
        messages.error(request, str(why))
    return redirect("console:pool", slug=slug)


@require_POST
@pool_page(operators_only=True)
def save_policy(request: StaffRequest, slug: str) -> HttpResponseBase:
    """Save the policy."""
    pool = _pool(slug)
    try:
        form = policies.save(pool, request.POST)
    except Changed as why:
        messages.error(request, str(why))
        return redirect("console:pool", slug=slug)
    if form.errors:
        messages.error(request, "The policy was not saved: see the fields that are marked.")
        return _page(request, pool, form, status=400)
    messages.success(request, "The policy is saved; it decides from the next second on.")
    return redirect("console:pool", slug=slug)


@pool_page()
def _prepare_trial(request: StaffRequest, slug: str) -> Any:
    """What to try, or the answer that says why it cannot be."""
    pool = _pool(slug)
    form = PolicyForm(pool, request.POST)
    if not form.is_valid():
        return JsonResponse({"error": "Some fields are not right.", "fields": form.errors}, status=400)
    try:
        return policies.trials_of(pool, form)
    except (TooLittle, Unreadable) as why:
        return JsonResponse({"error": str(why)}, status=409)


async def try_policy(request: HttpRequest, slug: str) -> HttpResponseBase:
    """What the policy would have done over the last day. It ends with the request, should that be given up."""
    if request.method != "POST":
        return HttpResponse(status=405, headers={"Allow": "POST"})
    prepared: HttpResponseBase | tuple[Material, list[Any]] = await sync_to_async(_prepare_trial)(request, slug)
    if isinstance(prepared, HttpResponseBase):
        return prepared
    material, asked = prepared
    try:
        tried = await trial_runs.run(asked)
    except TooMuch as why:
        return JsonResponse({"error": str(why)}, status=503)
    return JsonResponse(policies.compared(material, asked, tried))
