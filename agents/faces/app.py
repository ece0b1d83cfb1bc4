"""The hot routes as one ASGI application; what is not theirs goes on to the application behind."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from agents.faces import answers, health, openai, tasks
from agents.faces.context import Context
from agents.faces.socket import Session
from agents.problems import Problem, unavailable
from taskqueue.failures import QueueUnavailable

log = logging.getLogger(__name__)

Handler = Callable[[Context, Request], Awaitable[Response]]

ROUTES: list[tuple[str, str, Handler]] = [
    ("POST", "/api/v1/tasks", tasks.post_task),
    ("GET", "/api/v1/tasks/{id}", tasks.get_task),
    ("DELETE", "/api/v1/tasks/{id}", tasks.cancel_task),
    ("POST", "/api/v1/tasks/{id}/cancel", tasks.cancel_task),
    ("GET", "/api/v1/tasks/{id}/events", tasks.get_events),
    ("GET", "/v1/models", openai.list_models),
    ("POST", "/v1/chat/completions", openai.chat),
    ("GET", "/livez", health.livez),
    ("GET", "/readyz", health.readyz),
]


class Faces:
    """Routes what is hot, passes on what is not. The context is made once, by the first request, in its event loop."""

    def __init__(self, behind: ASGIApp, *, database_url: str, redis_url: str, body_limit: int) -> None:
        self._behind = behind
        self._start = partial(Context.start, database_url=database_url, redis_url=redis_url, body_limit=body_limit)
        self._context: asyncio.Future[Context] | None = None
        self._app = Starlette(
            routes=[
                *(Route(path, self._endpoint(handler), methods=[method]) for method, path, handler in ROUTES),
                WebSocketRoute("/ws/v1/", self._websocket),
            ]
        )
        self._hot = {"/api/v1/tasks", "/v1/models", "/v1/chat/completions", "/livez", "/readyz", "/ws/v1/"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif self._is_hot(scope):
            await self._app(scope, receive, send)
        else:
            await self._behind(scope, receive, send)

    def _is_hot(self, scope: Scope) -> bool:
        path: str = scope["path"]
        if path == "/api/v1/tasks":
            return bool(scope["method"] == "POST")
        return path in self._hot or (path.startswith("/api/v1/tasks/") and len(path) > len("/api/v1/tasks/"))

    async def context(self) -> Context:
        """The process's context."""
        if self._context is None:
            self._context = asyncio.ensure_future(self._start())
        return await asyncio.shield(self._context)

    def _endpoint(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            refuse = openai.failure if request.url.path.startswith("/v1/") else answers.problem
            try:
                return await handler(await self.context(), request)
            except Problem as problem:
                return refuse(problem)
            except QueueUnavailable:
                return refuse(unavailable("The queue"))
            except Exception:
                log.exception("%s %s failed", request.method, request.url.path)
                return refuse(Problem(500, "internal", "Something went wrong on our side; the error was logged."))

        return endpoint

    async def _websocket(self, websocket: WebSocket) -> None:
        await Session(await self.context(), websocket).run()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        await self.context()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        if self._context is not None:
            await (await self._context).close()
        await send({"type": "lifespan.shutdown.complete"})
