"""Django's registration of the package."""

from __future__ import annotations

from django.apps import AppConfig


class OrchestratorConfig(AppConfig):
    """Pools, workers, policies, decisions."""

    name = "orchestrator"
    verbose_name = "Fleet"
    default_auto_field = "django.db.models.BigAutoField"
