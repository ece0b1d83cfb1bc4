"""The service: settings, URLs, ASGI, celery, the embedded stack and the commands that join the parts."""

from opsite.celery import app as celery_app

__all__ = ["celery_app"]
