"""Django's registration of the package, for its templates."""

from __future__ import annotations

from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    """The console's own pages."""

    name = "console"
