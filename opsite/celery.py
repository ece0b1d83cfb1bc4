"""Celery: the side work that may be late. Tasks of tenants never pass here."""

from __future__ import annotations

import logging
import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging
from celery.utils.log import get_multiprocessing_logger

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opsite.settings")

app = Celery("opsite")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["opsite"], related_name="jobs")


@setup_logging.connect
def keep_logging(loglevel: int | str, **_: Any) -> None:
    """Its lines are written as those of all processes, which Django's settings have set up; `--loglevel` bounds its own."""
    logging.getLogger("celery").setLevel(loglevel)
    if (of_children := get_multiprocessing_logger()) is not None:  # it passes nothing on to the root
        of_children.handlers = logging.getLogger().handlers
        of_children.setLevel(loglevel)
