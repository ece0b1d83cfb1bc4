"""What there is to choose from: a few tenants, agents, revisions and test sets at a time, found by what was typed."""

from __future__ import annotations

from typing import Any

from django.db.models import Func, IntegerField, Q, QuerySet

from agents.models import Agent
from agents.publications import traffic
from comparisons.models import InputSet
from staff.access import Access
from tenants.models import Tenant

SUGGESTED = 10
REVISIONS_SHOWN = 50
SETS_SHOWN = 50
SERVES_NOBODY = "serves nobody"


def tenants_of(access: Access) -> QuerySet[Tenant]:
    """The tenants that this member of staff may see."""
    return access.rows(Tenant.objects.all(), tenant="pk")


def tenants(access: Access, typed: str) -> list[dict[str, str]]:
    """Tenants whose slug or name has what was typed."""
    found = tenants_of(access).filter(Q(slug__icontains=typed) | Q(name__icontains=typed)).order_by("slug")[:SUGGESTED]
    return [
        {"value": tenant.slug, "label": tenant.name if tenant.is_active else f"{tenant.name} (suspended)"}
        for tenant in found
    ]


def agents_of(tenant: Tenant) -> QuerySet[Agent]:
    """Its agents that can be run."""
    return Agent.objects.for_tenant(tenant).filter(archived_at__isnull=True, current_revision__isnull=False)


def agents(tenant: Tenant, typed: str) -> list[dict[str, str]]:
    """Agents whose slug or name has what was typed."""
    found = agents_of(tenant).filter(Q(slug__icontains=typed) | Q(name__icontains=typed)).order_by("slug")[:SUGGESTED]
    return [{"value": agent.slug, "label": agent.name} for agent in found]


def agent(of: Agent) -> dict[str, Any]:
    """An agent's newest revisions with what they serve, what is published in words, and its test sets."""
    published = traffic(of)
    shares = {} if published is None else {share.revision.number: share.percent for share in published.shares.all()}
    revisions = of.revisions.select_related("pool")[:REVISIONS_SHOWN]
    split = [f"r{number} {percent} %" for number, percent in sorted(shares.items())]
    inputs = Func("items", function="jsonb_array_length", output_field=IntegerField())
    sets = InputSet.objects.for_tenant(of.tenant_id).filter(agent=of).annotate(inputs=inputs)
    return {
        "published": f"published: {', '.join(split)}" if split else "published",
        "revisions": [
            {
                "number": revision.number,
                "pool": revision.pool.slug,
                "serves": f"{shares[revision.number]} %" if revision.number in shares else SERVES_NOBODY,
            }
            for revision in revisions
        ],
        "sets": [
            {"id": str(found), "name": name, "inputs": count}
            for found, name, count in sets.values_list("pk", "name", "inputs")[:SETS_SHOWN]
        ],
    }
