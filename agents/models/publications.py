"""Which revisions of an agent serve, and who decided that when: a history to which rows are only ever added."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from django.db.models import Q

from tenants.identifiers import new_id
from tenants.scoping import TenantOwned


class AppendOnly(RuntimeError):
    """This row is history, and Postgres refuses to change it: add a new publication instead."""


class Publication(TenantOwned):
    """A decision on which revisions of an agent new tasks get. The last one of an agent counts."""

    class Kind(models.TextChoices):
        PUBLISH = "publish", "published"
        ROLL_BACK = "roll_back", "rolled back"
        SPLIT = "split", "split"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    agent = models.ForeignKey("agents.Agent", on_delete=models.PROTECT, related_name="publications")
    number = models.PositiveIntegerField()
    kind = models.CharField(max_length=10, choices=Kind.choices)
    published_by = models.CharField(max_length=200, blank=True)
    published_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["agent", "-number"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["agent", "number"], name="publication_number_per_agent"),
            models.CheckConstraint(
                condition=Q(kind__in=["publish", "roll_back", "split"]), name="publication_kind_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.agent.slug} publication {self.number}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Insert; a second save is refused."""
        if not self._state.adding:
            raise AppendOnly("a publication is never changed: publish again")
        super().save(*args, **kwargs)


class TrafficShare(TenantOwned):
    """How many of a hundred new tasks get a revision. The shares of one publication sum to 100: Postgres sees to it at commit."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    publication = models.ForeignKey(Publication, on_delete=models.PROTECT, related_name="shares")
    revision = models.ForeignKey("agents.AgentRevision", on_delete=models.PROTECT, related_name="shares")
    percent = models.PositiveSmallIntegerField()

    class Meta:
        ordering: ClassVar = ["publication", "revision__number"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["publication", "revision"], name="share_per_revision"),
            models.CheckConstraint(condition=Q(percent__gte=1, percent__lte=100), name="share_percent_range"),
        ]

    def __str__(self) -> str:
        return f"r{self.revision.number} {self.percent} %"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Insert; a second save is refused."""
        if not self._state.adding:
            raise AppendOnly("a share is never changed: publish again")
        super().save(*args, **kwargs)
