"""What a member of staff keeps of the console's lists; found by Django through `staff.models`."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q


class SavedFilter(models.Model):
    """A list's filter, search and order under a name. What it shows is still what the viewer may see."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="saved_filters")
    list_label = models.CharField(max_length=100, help_text="The model's label, as `agents.task`.")
    name = models.CharField(max_length=60)
    query = models.CharField(max_length=2000, blank=True, help_text="The list's address behind the question mark.")
    is_shared = models.BooleanField(default=False, help_text="Others see it as well.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["name", "pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["owner", "list_label", "name"], name="saved_filter_name_per_owner_and_list"
            ),
            models.CheckConstraint(condition=~Q(name=""), name="saved_filter_has_a_name"),
        ]
        indexes: ClassVar = [models.Index(fields=["list_label", "name"], name="saved_filter_by_list")]

    def __str__(self) -> str:
        return self.name
