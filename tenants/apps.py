"""Django's registration of the package."""

from __future__ import annotations

from django.apps import AppConfig


class TenantsConfig(AppConfig):
    """Tenants and their keys."""

    name = "tenants"
    verbose_name = "Tenants"
    default_auto_field = "django.db.models.BigAutoField"
