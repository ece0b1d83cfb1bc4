"""The Django app."""

from __future__ import annotations

from django.apps import AppConfig


class ComparisonsConfig(AppConfig):
    """Comparisons."""

    name = "comparisons"
