"""Which revisions of an agent serve: publish one, go back, split the traffic. Each decision is a row that stays.

The row of the agent is locked meanwhile, so decisions of one agent come one after the other. Web processes hear of each at its
commit (a trigger on the table).
"""

from __future__ import annotations

from collections.abc import Mapping

from django.db import transaction
from django.db.models import Max

from agents.models import Agent, AgentRevision, Publication, TrafficShare
from agents.problems import Problem, bad_field, not_found
from agents.traffic import WHOLE

SHARES_MAX = 10
"""Revisions that one split may name."""


class StandsForPool(Problem):
    """409: the agent stands for a bare pool, and stays as it was made."""

    def __init__(self, agent: Agent) -> None:
        super().__init__(409, "stands_for_pool", f"The agent {agent.slug!r} stands for a pool; make one of your own.")


class NothingBefore(Problem):
    """409: the agent was published once only."""

    def __init__(self, agent: Agent) -> None:
        super().__init__(
            409, "nothing_before", f"Nothing of the agent {agent.slug!r} was published before; publish a revision."
        )


def lock_agent(agent: Agent) -> Agent:
    """The agent's row, held until the transaction ends; refused where it stands for a bare pool."""
    row = Agent.objects.for_tenant(agent.tenant_id).select_for_update().get(pk=agent.pk)
    if row.stands_for_id is not None:
        raise StandsForPool(row)
    return row


def traffic(agent: Agent) -> Publication | None:
    """What counts now, with its shares; None for an agent that was never published."""
    return agent.publications.order_by("-number").prefetch_related("shares__revision").first()


@transaction.atomic
def publish(*, agent: Agent, number: int, published_by: str) -> Publication:
    """All new tasks get this revision. Said again of the one that has all of them already: no change."""
    row = lock_agent(agent)
    revision = row.revisions.filter(number=number).first()
    if revision is None:
        raise not_found("revision")
    current = row.current_revision
    served = TrafficShare.objects.for_tenant(row.tenant_id).filter(revision=revision).exists()
    back = served and current is not None and number < current.number
    kind = Publication.Kind.ROLL_BACK if back else Publication.Kind.PUBLISH
    return record(row, {revision: WHOLE}, kind=kind, published_by=published_by)


@transaction.atomic
def split(*, agent: Agent, percents: Mapping[int, int], published_by: str) -> Publication:
    """New tasks are shared between these revisions: number to percent, whole numbers from 1 that sum to 100."""
    row = lock_agent(agent)
    if not 1 <= len(percents) <= SHARES_MAX:
        raise bad_field("shares", f"name between 1 and {SHARES_MAX} revisions")
    revisions = {revision.number: revision for revision in row.revisions.filter(number__in=list(percents))}
    if missing := [number for number in percents if number not in revisions]:
        raise bad_field("shares", f"there is no revision {missing[0]}")
    if small := [number for number, percent in percents.items() if percent < 1]:
        raise bad_field("shares", f"revision {small[0]} must have at least 1 percent; leave it out for none")
    if (total := sum(percents.values())) != WHOLE:
        raise bad_field("shares", f"the percents must sum to {WHOLE}, not {total}")
    shares = {revisions[number]: percents[number] for number in sorted(percents)}
    return record(row, shares, kind=Publication.Kind.SPLIT, published_by=published_by)


@transaction.atomic
def roll_back(*, agent: Agent, number: int | None = None, published_by: str) -> Publication:
    """What an earlier publication said counts again: that of this number, or the one before the last."""
    row = lock_agent(agent)
    publications = row.publications.order_by("-number")
    now = publications.first()
    if now is None:
        raise NothingBefore(row)
    if number is None:
        earlier = publications.filter(number__lt=now.number).first()
        if earlier is None:
            raise NothingBefore(row)
    else:
        earlier = publications.filter(number=number).first()
        if earlier is None:
            raise bad_field("publication", f"there is none of number {number}; the last one is {now.number}")
    shares = {share.revision: share.percent for share in earlier.shares.select_related("revision")}
    return record(row, shares, kind=Publication.Kind.ROLL_BACK, published_by=published_by)


def record(agent: Agent, shares: Mapping[AgentRevision, int], *, kind: str, published_by: str) -> Publication:
    """Add the decision, unless it is what counts already. `agent` is locked."""
    now = traffic(agent)
    if now is not None and {share.revision_id: share.percent for share in now.shares.all()} == {
        revision.pk: percent for revision, percent in shares.items()
    }:
        return now
    last = agent.publications.aggregate(last=Max("number"))["last"] or 0
    publication = Publication.objects.create(
        tenant_id=agent.tenant_id, agent=agent, number=last + 1, kind=kind, published_by=published_by
    )
    TrafficShare.objects.bulk_create(
        TrafficShare(tenant_id=agent.tenant_id, publication=publication, revision=revision, percent=percent)
        for revision, percent in shares.items()
    )
    # What the agent is, where one revision must stand for it: the one with most of the traffic, of equals the latest.
    agent.current_revision = max(shares, key=lambda revision: (shares[revision], revision.number))
    agent.save(update_fields=["current_revision"])
    return publication
