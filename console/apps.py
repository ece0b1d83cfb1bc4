"""Django's registration of the package, for its templates."""

from __future__ import annotations

from django.apps import AppConfig, apps
from django.db.models.signals import post_migrate


class ConsoleConfig(AppConfig):
    """The console's own pages."""

    name = "console"

    def ready(self) -> None:
        """Watch what the audit log watches, with each migration."""
        from console.audited import watch_tables

        # Django asks only apps that have models.
        post_migrate.connect(watch_tables, sender=apps.get_app_config("audit"))
