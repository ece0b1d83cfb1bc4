"""Input sets and comparisons are made here; comparisons.running carries them out."""

from __future__ import annotations

from typing import Any

import msgspec
from django.db import IntegrityError, transaction

from agents.faces.requests import TaskRequest, convert
from agents.models import Agent, AgentRevision
from agents.problems import FieldError, Problem, bad_field, missing_scope
from comparisons.checks import BadCheck, read
from comparisons.models import Comparison, ComparisonRun, InputSet
from tenants.models import ApiKey, Tenant

SUBMITS = "tasks:write"
ITEMS_MAX = 500


class NameTaken(Problem):
    """409: the agent has an input set of that name."""

    def __init__(self, name: str) -> None:
        message = f"there is a set {name!r} already; sets are never changed, so choose another name"
        super().__init__(409, "conflict", f"name: {message}", errors=(FieldError("name", message),))


class InUse(Problem):
    """409: a comparison was made with it."""

    def __init__(self) -> None:
        super().__init__(409, "in_use", "A comparison was made with this set; it stays with it.")


def agent_of(tenant: Tenant, slug: str) -> Agent:
    """The tenant's agent, or the problem that names the field."""
    agent = Agent.objects.for_tenant(tenant).filter(slug=slug, archived_at__isnull=True).first()
    if agent is None:
        raise bad_field("agent", f"there is no agent {slug!r}")
    return agent


def create_input_set(*, agent: Agent, name: str, items: list[Any], created_by: str) -> InputSet:
    """A set as a caller writes it: each item has `input` or `messages`, and may have `checks`."""
    if not 1 <= len(items) <= ITEMS_MAX:
        raise bad_field("items", f"between 1 and {ITEMS_MAX} are possible")
    plain = [_item(agent, item, f"items[{index}]") for index, item in enumerate(items)]
    try:
        with transaction.atomic():
            return InputSet.objects.create(
                tenant_id=agent.tenant_id, agent=agent, name=name, items=plain, created_by=created_by
            )
    except IntegrityError as error:
        raise NameTaken(name) from error


def extend_input_set(*, input_set: InputSet, name: str, items: list[Any], created_by: str) -> InputSet:
    """A new set: all inputs of one that there is, and more behind them. That one stays as it is."""
    return create_input_set(agent=input_set.agent, name=name, items=[*input_set.items, *items], created_by=created_by)


def delete_input_set(*, input_set: InputSet) -> None:
    """It goes, unless a comparison was made with it."""
    if input_set.comparisons.exists():
        raise InUse
    input_set.delete()


@transaction.atomic
def create_comparison(*, input_set: InputSet, left: int, right: int, key: ApiKey) -> Comparison:
    """A comparison of two revisions, by number; its tasks are submitted from now on, in the name of `key`."""
    if key.scopes and SUBMITS not in key.scopes:
        raise missing_scope(SUBMITS)
    if left == right:
        raise bad_field("right", "must be another revision than `left`")
    comparison = Comparison.objects.create(
        tenant_id=input_set.tenant_id,
        agent=input_set.agent,
        input_set=input_set,
        left=_revision(input_set.agent, "left", left),
        right=_revision(input_set.agent, "right", right),
        api_key=key,
        created_by=str(key),
    )
    ComparisonRun.objects.bulk_create(
        ComparisonRun(tenant_id=input_set.tenant_id, comparison=comparison, number=number, side=side)
        for number in range(1, len(input_set.items) + 1)
        for side in ComparisonRun.Side.values
    )
    return comparison


def _revision(agent: Agent, field: str, number: int) -> AgentRevision:
    revision = agent.revisions.filter(number=number).first()
    if revision is None:
        raise bad_field(field, f"there is no revision {number}")
    return revision


def _item(agent: Agent, item: Any, here: str) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise bad_field(here, "must be an object")
    if unknown := sorted(item.keys() - {"input", "messages", "checks"}):
        raise bad_field(f"{here}.{unknown[0]}", "unknown; known are input, messages, checks")
    if ("input" in item) == ("messages" in item):
        raise bad_field(f"{here}.input", "give either `input` (a string) or `messages`")
    said = item["messages"] if "messages" in item else [{"role": "user", "content": item["input"]}]
    try:
        messages = convert({"agent": agent.slug, "messages": said}, TaskRequest).messages
        checks = read(item.get("checks", {}))
    except Problem as problem:
        raise bad_field(f"{here}.{problem.errors[0].field}", problem.errors[0].message) from problem
    except BadCheck as error:
        raise bad_field(f"{here}.checks.{error.field}".rstrip("."), str(error)) from error
    if not messages:
        raise bad_field(f"{here}.messages", "at least one message is needed")
    return {"messages": msgspec.to_builtins(messages), "checks": msgspec.to_builtins(checks)}
