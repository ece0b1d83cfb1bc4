"""A task's stream for staff: `GET /console/tasks/{id}/events`, server-sent events of the same log that its tenant reads.

It is a hot route, as the tenant's own (`agents.faces.tasks.get_events`): pushed through the process's one inbox of the pool, with
the cursor as `Last-Event-ID`, so that a reader who comes back misses nothing and gets nothing twice. It differs in who may read: a
session of the console. That is asked for at the beginning; since a stream may last as long as a task, it ends after
`STREAM_LIFE_S`, and the browser comes back by itself with its cursor, and is asked anew.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from importlib import import_module

from channels.db import database_sync_to_async
from django.conf import settings
from django.contrib.auth import get_user
from django.http import HttpRequest
from starlette.requests import Request
from starlette.responses import Response

from agents.faces.context import Context
from agents.faces.database import TASK_BY_ID
from agents.faces.tasks import events_of
from agents.problems import Problem, not_found
from console.frame import STREAM_LIFE_S, NotFound
from console.tasks.reads import find
from staff.access import Access, access_of


async def events(context: Context, request: Request) -> Response:
    """The task's events from behind the cursor, live, to the outcome."""
    try:
        task = uuid.UUID(request.path_params["id"])
    except ValueError:
        raise not_found("task") from None
    tenant = await database_sync_to_async(_tenant_of)(request.cookies, task)
    row = await context.db.one(TASK_BY_ID, tenant, task)
    if row is None:
        raise not_found("task")
    return await events_of(context, request, row, life_s=STREAM_LIFE_S)


def _tenant_of(cookies: Mapping[str, str], task: uuid.UUID) -> uuid.UUID:
    """Whose task it is, if whoever has these cookies may see it."""
    try:
        return find(_access(cookies), task).tenant_id
    except NotFound:
        raise not_found("task") from None


def _access(cookies: Mapping[str, str]) -> Access:
    request = HttpRequest()
    sessions = import_module(settings.SESSION_ENGINE)
    request.session = sessions.SessionStore(cookies.get(settings.SESSION_COOKIE_NAME))
    user = get_user(request)
    if not user.is_authenticated:
        raise Problem(401, "not_logged_in", "Log in to the console first.")
    access = access_of(user)
    if access is None:
        raise Problem(403, "no_role", "This is for members of staff with a role.")
    return access
