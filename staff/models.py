"""Staff roles."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

import staff.list_models  # noqa: F401 - Django looks for models from here


class StaffRole(models.Model):
    """What a member of staff may do in the console. A superuser is an operator without one."""

    class Role(models.TextChoices):
        OPERATOR = "operator", "operator: everything"
        VIEWER = "viewer", "viewer: sees everything, changes nothing"
        TENANT_ADMINISTRATOR = "tenant_administrator", "tenant administrator: one tenant only"

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="staff_role")
    role = models.CharField(max_length=20, choices=Role)
    tenant = models.ForeignKey(
        "tenants.Tenant",
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="+",
        help_text="A tenant administrator's; others have none.",
    )

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(role="tenant_administrator", tenant__isnull=False)
                | Q(role__in=["operator", "viewer"], tenant__isnull=True),
                name="staff_role_tenant_of_administrators",
                violation_error_message="A tenant administrator has a tenant; operators and viewers have none.",
            )
        ]

    def __str__(self) -> str:
        return f"{self.user}: {self.role}"
