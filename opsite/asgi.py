"""The web process: hot routes first (agents.faces), the console's websocket by Channels, everything else by Django.

Any ASGI server runs it: daphne by default, uvicorn with several processes for load.
"""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opsite.settings")
django_application = get_asgi_application()

from channels.auth import AuthMiddlewareStack  # noqa: E402 - Django must be set up before
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from channels.security.websocket import AllowedHostsOriginValidator  # noqa: E402
from django.conf import settings  # noqa: E402
from django.urls import reverse  # noqa: E402

from agents.faces.app import ROUTES, Faces  # noqa: E402
from batches.faces import routes as batches  # noqa: E402
from console.routing import websocket_urlpatterns  # noqa: E402
from console.tasks import stream as task_stream  # noqa: E402
from knowledge import face as knowledge  # noqa: E402
from opsite.garbage import leave_loaded_alone  # noqa: E402
from telemetry import tracing  # noqa: E402
from telemetry.requests import RequestTelemetry  # noqa: E402

tracing.configure("web")

faces = Faces(
    ProtocolTypeRouter(
        {
            "http": django_application,
            "websocket": AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter(websocket_urlpatterns))),
        }
    ),
    database_url=settings.DATABASE_URL,
    redis_url=settings.REDIS_URL,
    body_limit=settings.OPSITE_BODY_LIMIT_BYTES,
    routes=[
        *ROUTES,
        *batches.ROUTES,
        *knowledge.ROUTES,
        ("GET", "/console/tasks/{id}/events", task_stream.events),
    ],
)
application = RequestTelemetry(faces, traced=faces.serves, access_log=settings.OPSITE_LOG_FORMAT == "json")

reverse("admin:index")  # loads all addresses and their views, which the first page would
leave_loaded_alone()
