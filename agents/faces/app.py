"""The hot routes as one ASGI application; what is not theirs goes on to the application behind."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Callable, Iterable
from functools import partial

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute, compile_path
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from agents.faces import answering, answers, health, tasks
from agents.faces.context import Context
from agents.faces.openai import chat, completions, embeddings, errors, models, response_reading, responses
from agents.faces.socket import Session
from agents.problems import Problem, method_not_allowed, no_route, unavailable, websocket_only
from taskqueue.failures import QueueUnavailable
from telemetry import tracing
from telemetry.requests import name_route

log = logging.getLogger(__name__)

Handler = Callable[[Context, Request], Awaitable[Response]]

ROUTES: list[tuple[str, str, Handler]] = [
    ("POST", "/api/v1/tasks", tasks.post_task),
    ("GET", "/api/v1/tasks/{id}", tasks.get_task),
    ("DELETE", "/api/v1/tasks/{id}", tasks.cancel_task),
    ("POST", "/api/v1/tasks/{id}/cancel", tasks.cancel_task),
    ("GET", "/api/v1/tasks/{id}/events", tasks.get_events),
    ("POST", "/api/v1/tasks/{id}/answers", answering.answer),
    ("GET", "/v1/models", models.list_models),
    ("GET", "/v1/models/{id}", models.get_model),
    ("POST", "/v1/chat/completions", chat.chat),
    ("POST", "/v1/completions", completions.complete),
    ("POST", "/v1/responses", responses.create),
    ("GET", "/v1/responses/{id}", response_reading.retrieve),
    ("DELETE", "/v1/responses/{id}", response_reading.delete_response),
    ("POST", "/v1/responses/{id}/cancel", response_reading.cancel_response),
    ("GET", "/v1/responses/{id}/input_items", response_reading.list_input_items),
    ("POST", "/v1/embeddings", embeddings.embeddings),
    ("GET", "/livez", health.livez),
    ("GET", "/readyz", health.readyz),
]


SOCKET = "/ws/v1"


def _is_hot(scope: Scope, path: str) -> bool:
    if scope["type"] == "websocket":
        return path == SOCKET
    if path == "/api/v1/tasks":
        return bool(scope["method"] == "POST")  # the list is Django's
    if path.startswith("/api/v1/tasks/") and path.endswith("/steps"):
        return False  # history, as the list
    return path in ("/v1", "/livez", "/readyz", SOCKET) or path.startswith(("/api/v1/tasks/", "/v1/"))


def _any_of(methods: Iterable[str]) -> Scope:
    """A request by one of the methods, as far as `_is_hot` looks at it."""
    return {"type": "http", "method": next(iter(methods))}


def _refusal(request: Request) -> Callable[[Problem], Response]:
    """How this path's callers expect to be refused."""
    return errors.failure if f"{request.url.path}/".startswith("/v1/") else answers.problem


def _unrouted(request: Request, error: Exception) -> Response:
    """No such route, or another method: Starlette's words as a problem."""
    if not isinstance(error, HTTPException):
        raise error
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        response = _refusal(request)(method_not_allowed(request.method, allowed))
        response.headers["Allow"] = allowed
        return response
    return _refusal(request)(no_route(request.url.path))


async def _plain_http(request: Request) -> Response:
    """What asks for the websocket's path without being one."""
    return answers.problem(websocket_only())


class Faces:
    """Routes what is hot, passes on what is not. The context is made once, by the first request, in its event loop."""

    def __init__(
        self,
        behind: ASGIApp,
        *,
        database_url: str,
        redis_url: str,
        body_limit: int,
        routes: Iterable[tuple[str, str, Handler]] = ROUTES,
    ) -> None:
        self._behind = behind
        self._start = partial(Context.start, database_url=database_url, redis_url=redis_url, body_limit=body_limit)
        self._context: asyncio.Future[Context] | None = None
        by_path: dict[str, dict[str, Handler]] = {}
        for method, path, handler in routes:
            by_path.setdefault(path, {})[method] = handler
        self._beside = [
            compile_path(path)[0] for path, methods in by_path.items() if not _is_hot(_any_of(methods), path)
        ]
        """Paths that `_is_hot` does not know: of what stands above this package."""
        self._app = Starlette(
            routes=[
                *(
                    Route(path, self._endpoint(path, handlers), methods=list(handlers))
                    for path, handlers in by_path.items()
                ),
                WebSocketRoute(SOCKET, self._websocket),
                Route(SOCKET, _plain_http, methods=["GET"]),
            ],
            exception_handlers={HTTPException: _unrouted},
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http" and "\x00" in scope["path"]:  # no name holds one, and Postgres would refuse it
            request = Request(scope)
            await _refusal(request)(no_route(request.url.path))(scope, receive, send)
        elif self.serves(scope):  # a trailing slash makes no difference
            await self._app({**scope, "path": scope["path"].rstrip("/")}, receive, send)
        else:
            await self._behind(scope, receive, send)

    def serves(self, scope: Scope) -> bool:
        """Whether the request takes a hot route."""
        path = scope["path"].rstrip("/")
        return _is_hot(scope, path) or any(pattern.match(path) for pattern in self._beside)

    async def context(self) -> Context:
        """The process's context."""
        if self._context is None:
            # What lives as long as the process is nothing that its first request is about.
            self._context = asyncio.create_task(self._start(), context=contextvars.Context())
        return await asyncio.shield(self._context)

    def _endpoint(self, path: str, handlers: dict[str, Handler]) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            tracing.route(request.method, path)
            refuse = _refusal(request)
            name_route(request.scope, path)
            try:
                return await handlers["GET" if request.method == "HEAD" else request.method](
                    await self.context(), request
                )
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
        # Here: a server may end itself by the very signal that it got, and run nothing behind this.
        await asyncio.to_thread(tracing.close)
        await send({"type": "lifespan.shutdown.complete"})
