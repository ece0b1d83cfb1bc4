"""Objects that many tests need: two tenants who must not see each other."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agents.models import Agent, Conversation, Task
    from orchestrator.models import Pool
    from tenants.models import Tenant


@dataclass(frozen=True)
class Party:
    """A tenant with what it owns."""

    tenant: Tenant
    agent: Agent
    key: str

    @property
    def headers(self) -> dict[str, str]:
        """Its `Authorization`."""
        return {"Authorization": f"Bearer {self.key}"}

    def conversation(self, **more: Any) -> Conversation:
        """A new conversation of it."""
        from agents.models import Conversation

        return Conversation.objects.create(tenant=self.tenant, **more)

    def task(self, **more: Any) -> Task:
        """A row of a task of it, queued, with its turn; Redis is not told."""
        from django.utils import timezone

        from agents.models import Task, Turn

        revision = self.agent.current_revision
        assert revision is not None
        task = Task.objects.create(
            tenant=self.tenant,
            agent=self.agent,
            revision=revision,
            pool=revision.pool,
            input=[{"role": "user", "content": "hi"}],
            params={"max_tokens": 5},
            **more,
        )
        Turn.objects.create(tenant=self.tenant, task=task, queued_at=timezone.now())
        if task.conversation is not None:
            self._ask(task, task.conversation)
        return task

    def _ask(self, task: Task, conversation: Conversation) -> None:
        """The task's message stands in the conversation, and it answers it."""
        from agents.conversations import append_message
        from agents.models import Reply

        after = conversation.messages.order_by("number").last()
        question = append_message(
            conversation=conversation, role="user", content="hi", after=None if after is None else after.pk
        )
        type(question).objects.for_tenant(self.tenant).filter(pk=question.pk).update(task=task)
        Reply.objects.create(
            tenant=self.tenant, task=task, conversation=conversation, number=question.number, line=task.pk, said=1,
            after_number=question.parent_number, question_number=question.number,
        )  # fmt: skip


@dataclass(frozen=True)
class Scene:
    """Two parties on one pool."""

    pool: Pool
    ann: Party
    bob: Party

    @classmethod
    def make(cls, *, max_waiting: int = 1000) -> Scene:
        """Fresh objects with names that no other test uses."""
        from agents.services import create_agent
        from orchestrator.models import Pool, ScalingPolicy
        from tenants.services import create_tenant, issue_key

        mark = uuid.uuid4().hex[:8]
        pool = Pool.objects.create(slug=f"pool-{mark}", name="A pool", engine=Pool.Engine.SIMULATED, slots=8)
        ScalingPolicy.objects.create(pool=pool)
        parties = []
        for name in ("ann", "bob"):
            tenant = create_tenant(slug=f"{name}-{mark}", name=name.title(), max_waiting=max_waiting)
            agent = create_agent(tenant=tenant, slug="poet", name="Poet", pool=pool, params={"max_tokens": 8})
            parties.append(Party(tenant, agent, issue_key(tenant=tenant, name="test").secret))
        return cls(pool, *parties)
