"""What the demo puts into the database: a pool with the model of this repository, two tenants, an agent and a key for each."""

from __future__ import annotations

from typing import NamedTuple

from django.conf import settings

from agents.services import create_agent
from orchestrator.models import Pool, ScalingPolicy
from tenants.services import create_tenant, issue_key

POOL = "verse"


class Actor(NamedTuple):
    """A tenant's application in the demo."""

    tenant: str
    agent: str
    key: str


def build(*, idle_to_zero_s: float, slots: int, max_workers: int) -> list[Actor]:
    """Make the scene on an empty database."""
    pool = Pool.objects.create(
        slug=POOL,
        name="The demo model",
        engine=Pool.Engine.TRANSFORMERS,
        model=str(settings.BASE_DIR / "models" / "opsite-verse"),
        engine_args={"threads": 1},
        slots=slots,
        default_params={"temperature": 0.8, "top_p": 0.95, "max_tokens": 160},
    )
    ScalingPolicy.objects.create(
        pool=pool,
        min_workers=0,
        max_workers=max_workers,
        waiting_per_worker=slots,
        up_cooldown_s=2.0,
        down_cooldown_s=4.0,
        idle_to_zero_s=idle_to_zero_s,
    )
    scenes = (
        ("montague", "romeo", "Romeo of the house of Montague", "You speak as the players spoke.", 1.0),
        ("capulet", "juliet", "Juliet of the house of Capulet", "Answer in verse.", 2.0),
    )
    actors = []
    for tenant_slug, agent_slug, name, prompt, weight in scenes:
        tenant = create_tenant(slug=tenant_slug, name=tenant_slug.title(), weight=weight)
        create_agent(tenant=tenant, slug=agent_slug, name=name, pool=pool, system_prompt=prompt, created_by="demo")
        actors.append(Actor(tenant_slug, agent_slug, issue_key(tenant=tenant, name="demo").secret))
    return actors
