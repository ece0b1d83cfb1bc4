"""Celery: the side work that may be late. Tasks of tenants never pass here."""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opsite.settings")

app = Celery("opsite")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["opsite"], related_name="jobs")
