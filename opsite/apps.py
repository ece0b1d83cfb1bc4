"""Django's registration of the package, for its commands, templates and jobs."""

from __future__ import annotations

from django.apps import AppConfig


class OpsiteConfig(AppConfig):
    """The joining parts."""

    name = "opsite"
