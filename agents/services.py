"""Changes to agents and conversations. Tasks are accepted by agents.faces, in groups."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Sequence
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Max, Q
from django.utils import timezone

from agents.context_settings import checked_context
from agents.lifecycle import TaskState
from agents.models import Agent, AgentRevision, Conversation, Publication, Task, Tool, Turn
from agents.money import require_priced
from agents.output_forms import checked, converted, given, require_guiding, stored
from agents.problems import FieldError, Problem, bad_field, not_found
from agents.publications import StandsForPool, lock_agent, record
from agents.sampling import validated
from agents.tools.chosen import checked_limits, checked_tools
from agents.traffic import WHOLE
from orchestrator.models import Pool
from taskqueue.sync_client import Queue
from tenants.models import Tenant

AGENT_SLUG_MAX = 63
DRAFTED = ("pool", "system_prompt", "params", "tools", "limits", "context")
"""What a draft has as the current revision has it; its form of output aside."""
CANCELLED_AT_ONCE = 500


def check_params(params: dict[str, Any], *, field: str = "params") -> dict[str, Any]:
    """Sampling parameters that the queue understands, or a problem that names the one that does not fit."""
    validated(params, field=field)
    return params


def check_output(output: dict[str, Any] | None, *, pool: Pool, field: str = "output") -> str:
    """The form of answers as it lies in Postgres, or a problem that names what the pool's engine cannot hold them to."""
    form = None if output is None else checked(converted(output, field=field), field=field)
    if form is not None:
        require_guiding(form, engine=pool.engine, pool=pool.slug, field=field)
    return stored(form)


def check_limits(limits: dict[str, Any], *, pool: Pool, field: str = "limits") -> dict[str, Any]:
    """A revision's limits as they are stored, or a problem; one of money needs prices of this pool."""
    known = checked_limits(limits, field=field)
    require_priced(
        known,
        prices=pool.token_prices,
        engine=pool.engine,
        pool=pool.slug,
        now=timezone.now(),
        field=f"{field}.max_cost",
    )
    return known


def usable_pool(*, tenant: Tenant, slug: str) -> Pool:
    """A pool that is shared or dedicated to this tenant."""
    pool = Pool.objects.filter(Q(tenant__isnull=True) | Q(tenant=tenant), slug=slug).first()
    if pool is None:
        known = Pool.objects.filter(Q(tenant__isnull=True) | Q(tenant=tenant)).values_list("slug", flat=True)
        raise bad_field("pool", f"there is no pool {slug!r}; usable are {', '.join(known) or 'none yet'}")
    return pool


class SlugTaken(Problem):
    """409: the tenant has an agent of that slug."""

    def __init__(self, slug: str) -> None:
        message = f"there is an agent {slug!r} already (it may be archived); choose another"
        super().__init__(409, "conflict", f"slug: {message}", errors=(FieldError("slug", message),))


@transaction.atomic
def create_agent(
    *,
    tenant: Tenant,
    slug: str,
    name: str,
    pool: Pool,
    system_prompt: str = "",
    params: dict[str, Any] | None = None,
    output: dict[str, Any] | None = None,
    created_by: str = "",
    stands_for: Pool | None = None,
    tools: list[dict[str, Any]] | None = None,
    limits: dict[str, Any] | None = None,
    context: dict[str, Any] | None = None,
) -> Agent:
    """An agent with its first revision."""
    agent = Agent(tenant=tenant, slug=slug, name=name, stands_for=stands_for)
    agent.clean_fields()
    try:
        with transaction.atomic():
            agent.save(force_insert=True)
    except IntegrityError as error:
        raise SlugTaken(slug) from error
    revise_agent(
        agent=agent,
        pool=pool,
        system_prompt=system_prompt,
        params=params or {},
        output=output,
        created_by=created_by,
        tools=tools,
        limits=limits,
        context=context,
    )
    return agent


@transaction.atomic
def revise_agent(
    *,
    agent: Agent,
    pool: Pool,
    system_prompt: str,
    params: dict[str, Any],
    output: dict[str, Any] | None = None,
    created_by: str = "",
    tools: list[dict[str, Any]] | None = None,
    limits: dict[str, Any] | None = None,
    context: dict[str, Any] | None = None,
) -> AgentRevision:
    """A new revision, which gets all traffic at once. Equal to the current one: no change, no revision.

    `output` is the form of answers where a task asks for none; None: free text.
    """
    check_params(params)
    definition: dict[str, Any] = {
        "pool": pool,
        "system_prompt": system_prompt,
        "params": params,
        "output_form": check_output(output, pool=pool),
        "tools": _checked_tools(agent, tools or []),
        "limits": check_limits(limits or {}, pool=pool),
        "context": checked_context(context),
    }
    row = Agent.objects.for_tenant(agent.tenant_id).select_for_update().get(pk=agent.pk)
    current = row.current_revision
    if current and {name: getattr(current, name) for name in definition} == definition:
        return current
    revision = _new_revision(row, **definition, created_by=created_by)
    record(row, {revision: WHOLE}, kind=Publication.Kind.PUBLISH, published_by=created_by)
    agent.current_revision = revision
    return revision


def _new_revision(agent: Agent, **definition: Any) -> AgentRevision:
    """The next revision of an agent whose row is locked."""
    last = agent.revisions.aggregate(last=Max("number"))["last"] or 0
    return AgentRevision.objects.create(tenant_id=agent.tenant_id, agent=agent, number=last + 1, **definition)


@transaction.atomic
def draft_revision(*, agent: Agent, tenant: Tenant, changes: dict[str, Any], created_by: str) -> AgentRevision:
    """A revision that serves nobody until it is published. What `changes` leaves out is as in the current one."""
    row = lock_agent(agent)
    base = row.current_revision
    if base is None:
        raise Problem(409, "no_revision", "This agent has no revision; create one in the console first.")
    definition = {name: getattr(base, name) for name in DRAFTED}
    if "pool" in changes:
        changes = {**changes, "pool": usable_pool(tenant=tenant, slug=changes["pool"])}
    definition |= {name: value for name, value in changes.items() if name != "output"}
    output = changes["output"] if "output" in changes else given(base.output_form)
    definition["output_form"] = check_output(output, pool=definition["pool"])
    check_params(definition["params"])
    definition["tools"] = _checked_tools(row, definition["tools"])
    definition["limits"] = check_limits(definition["limits"], pool=definition["pool"])
    definition["context"] = checked_context(definition["context"])
    return _new_revision(row, **definition, created_by=created_by)


def _checked_tools(agent: Agent, tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if not tools:
        return []
    known = Tool.objects.for_tenant(agent.tenant_id).values_list("name", flat=True)
    agents = Agent.objects.for_tenant(agent.tenant_id).filter(archived_at__isnull=True).values_list("slug", flat=True)
    return checked_tools(tools, known=list(known), agents=list(agents))


@transaction.atomic
def change_agent(*, agent: Agent, tenant: Tenant, changes: dict[str, Any], changed_by: str) -> None:
    """Apply `changes` (name, pool, system_prompt, params, output, tools, limits, context); what is left out stays."""
    # Two changes at a time are one after the other: neither undoes what the other changed.
    row = lock_agent(agent)
    current = row.current_revision
    if current is None:
        raise Problem(409, "no_revision", "This agent has no revision; create one in the console first.")
    agent.name = changes.get("name", row.name)
    agent.save(update_fields=["name"])
    revise_agent(
        agent=agent,
        pool=usable_pool(tenant=tenant, slug=changes["pool"]) if "pool" in changes else current.pool,
        system_prompt=changes.get("system_prompt", current.system_prompt),
        params=changes.get("params", current.params),
        output=changes["output"] if "output" in changes else given(current.output_form),
        created_by=changed_by,
        tools=changes.get("tools", current.tools),
        limits=changes.get("limits", current.limits),
        context=changes.get("context", current.context),
    )


def archive_agent(*, agent: Agent) -> None:
    """The agent takes no new tasks; its history stays."""
    if agent.stands_for_id is not None:
        raise StandsForPool(agent)
    Agent.objects.for_tenant(agent.tenant_id).filter(pk=agent.pk, archived_at__isnull=True).update(
        archived_at=timezone.now()
    )


def cancel_tasks(*, tasks: Sequence[Task], redis_url: str) -> int:
    """Ask the queues to end these tasks; returns how many were waiting or running. Each ends when its recorder says so."""
    by_pool: dict[str, dict[str, str]] = {}
    by_id = {str(task.pk): task for task in tasks}
    turns = Turn.objects.across_tenants().filter(task__in=[task.pk for task in tasks]).select_related("task__pool")
    for turn in turns.order_by("number"):
        by_pool.setdefault(turn.task.pool.slug, {})[str(turn.task_id)] = str(turn.pk)  # the last one of each task
    asked = 0
    for pool, last in by_pool.items():
        queue = Queue(redis_url, pool)
        try:
            for (task, turn_id), answer in zip(last.items(), queue.cancel(list(last.values())), strict=True):
                if answer in {"ended", "stopping"}:
                    asked += 1
                elif answer == "over" or by_id[task].state == TaskState.WAITING:
                    asked += queue.end_task(task, turn=turn_id, state="cancelled")
        finally:
            queue.close()
    return asked


def cancel_open_tasks(*, tenant: Tenant, redis_url: str) -> int:
    """Ask the queues to end all that waits or runs for a tenant; returns how many were. What comes meanwhile is left alone."""
    asked, last = 0, uuid.UUID(int=0)
    open_tasks = Task.objects.for_tenant(tenant).filter(finished_at__isnull=True).order_by("pk")
    while some := list(open_tasks.filter(pk__gt=last)[:CANCELLED_AT_ONCE]):
        asked += cancel_tasks(tasks=some, redis_url=redis_url)
        last = some[-1].pk
    return asked


def delete_conversation(*, conversation: Conversation) -> None:
    """A conversation and its messages go; tasks that used it keep what they were sent."""
    with transaction.atomic():
        # The lock that the acceptance of a task takes, too: none comes between the question and the deletion.
        locked = Conversation.objects.for_tenant(conversation.tenant_id).select_for_update().filter(pk=conversation.pk)
        if not list(locked):
            raise not_found("conversation")
        if conversation.tasks.filter(finished_at__isnull=True).exists():
            raise Problem(409, "in_use", "A task of this conversation has not ended; cancel it or wait.")
        conversation.tasks.update(conversation=None)
        conversation.delete()


def agent_of_pool(*, tenant_id: uuid.UUID, pool_slug: str) -> str:
    """The slug of the agent that stands for a bare pool where a call names a pool as its model; made when first asked for."""
    tenant = Tenant.objects.get(pk=tenant_id)
    pool = usable_pool(tenant=tenant, slug=pool_slug)
    standing = Agent.objects.for_tenant(tenant).filter(stands_for=pool)
    plain = f"pool-{pool_slug}".replace(".", "-")[:AGENT_SLUG_MAX]
    # The plain name may be an agent's of the tenant's own, or that of a pool with a similar name.
    for slug in (plain, f"{plain[: AGENT_SLUG_MAX - 9]}-{secrets.token_hex(4)}"):
        if (known := standing.first()) is not None:
            return known.slug
        try:
            create_agent(
                tenant=tenant, slug=slug, name=f"Pool {pool_slug}", pool=pool, created_by="opsite", stands_for=pool
            )
        except SlugTaken:
            continue  # or another process made it at the same time
        return slug
    return standing.get().slug
