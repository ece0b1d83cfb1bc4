"""From the name that a call gives as its model to the agent that answers."""

from __future__ import annotations

import uuid

from channels.db import database_sync_to_async
from django.db import InterfaceError, OperationalError

from agents.django_threads import DjangoThreads
from agents.embedding import require_generating
from agents.faces import database
from agents.faces.context import Context
from agents.faces.principals import AgentRef, Principal
from agents.problems import Problem, no_model, unavailable
from agents.services import agent_of_pool


async def agent_of(context: Context, principal: Principal, model: str) -> AgentRef:
    """The model's name is an agent's, or that of a pool that the tenant may use."""
    agent = await context.directory.agent(principal.tenant, model)
    if agent is not None:
        return agent
    pools = {row["slug"] for row in await context.db.all(database.POOLS, principal.tenant)}
    if model not in pools:
        raise no_model(model)
    return await standing_agent(context, principal.tenant, model)


async def generating_agent_of(context: Context, principal: Principal, model: str) -> AgentRef:
    """As `agent_of`; a model that embeds is refused."""
    agent = await agent_of(context, principal, model)
    require_generating(agent.engine, field="model")
    return agent


async def standing_agent(
    context: Context, tenant: uuid.UUID, pool: str, *, threads: DjangoThreads | None = None
) -> AgentRef:
    """The tenant's agent that stands for a pool, with nothing added to what is asked of it. `threads`: the caller's own."""
    try:
        if threads is None:
            slug = await database_sync_to_async(agent_of_pool)(tenant_id=tenant, pool_slug=pool)
        else:
            slug = await threads(agent_of_pool, tenant_id=tenant, pool_slug=pool)
    except (OperationalError, InterfaceError) as error:
        raise unavailable("The database") from error
    agent = await context.directory.agent(tenant, slug)
    if agent is None:
        raise Problem(503, "unavailable", "The pool's agent was just made; try again.", retry_after_s=1)
    return agent
