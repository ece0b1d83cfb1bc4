"""Django's registration of the package."""

from __future__ import annotations

from django.apps import AppConfig


class StaffConfig(AppConfig):
    """Staff and their roles."""

    name = "staff"
    verbose_name = "Staff"
    default_auto_field = "django.db.models.BigAutoField"
