"""From a request to an accepted task: resolve the agent, put the context together, commit and enqueue. All faces come here."""

from __future__ import annotations

import asyncio
import hashlib
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from agents.faces import database
from agents.faces.acceptance import Candidate
from agents.faces.context import Context
from agents.faces.database import Row
from agents.faces.engine_features import check_logprobs, output_form
from agents.faces.leaving import ends_with_client
from agents.faces.principals import AgentRef, Principal
from agents.faces.requests import MessageIn, TaskRequest
from agents.faces.submitted import Submitted
from agents.lifecycle import TaskState
from agents.limits import bill, headers
from agents.output_forms import stored
from agents.problems import LIMIT_CODES, Problem, bad_field, not_found, unavailable
from agents.sampling import layered, validated
from agents.submissions import options_of, reserved_tokens, submission
from agents.waits import shown
from taskqueue.failures import QueueUnavailable
from taskqueue.inbox import Subscription
from taskqueue.messages import ChatMessage, ToolSpec, TurnBody
from taskqueue.outlook import Place
from tenants.identifiers import new_id

IDEMPOTENCY_KEY_MAX = 255
EXPECT_S = 5.0
"""How long a submission waits for this process's inbox in Redis (if it is followed), or for an equal one to be queued."""
LOOK_AGAIN_S = 0.02
PLACE_S = 1.0
"""A task is shown without its place in the queue where the queue does not say it within this time."""
WANTED_DEFAULTS: dict[str, Any] = {"max_tokens": 256}


async def submit(
    context: Context,
    principal: Principal,
    request: TaskRequest,
    *,
    follow: bool = False,
    parent_call: uuid.UUID | None = None,
) -> Submitted:
    """Accept a task; raises the `Problem` that refuses it."""
    agent = await context.directory.agent(principal.tenant, request.agent)
    if agent is None:
        raise bad_field("agent", f"there is no agent {request.agent!r}")
    return await submit_to(context, principal, agent, request, follow=follow, parent_call=parent_call)


async def submit_to(
    context: Context,
    principal: Principal,
    agent: AgentRef,
    request: TaskRequest,
    *,
    follow: bool = False,
    parent_call: uuid.UUID | None = None,
) -> Submitted:
    """As `submit`, with the agent known. `parent_call` is the tool call by which another task hands this one over."""
    said = _said(request)
    task, turn = new_id(), new_id()
    conversation, history, kept = await _history(context, principal, request.conversation, agent)
    agent = agent.serving(key=_split_key(request, task), kept=kept)
    tools = _tools(agent, request)
    params = layered(WANTED_DEFAULTS, agent.default_params, agent.params, request.parameters)
    sampling = validated(params)
    may_call = bool(tools) and request.tool_choice != "none"
    form = await output_form(agent, request, sampling, may_call=may_call)
    check_logprobs(agent, sampling, may_call=may_call)
    messages = [*([{"role": "system", "content": agent.system_prompt}] if agent.system_prompt else []), *history, *said]
    deadline_at = _deadline(request)
    key, digest = _idempotency(request, agent)
    ends = ends_with_client(request, by_default=principal.cancel_on_disconnect, followed=follow)
    if not 0 <= request.priority <= 9:
        raise bad_field("priority", "must be between 0 (first) and 9 (last)")

    body = TurnBody(
        messages=tuple(msgspec.convert(message, ChatMessage) for message in messages),
        params=sampling,
        tools=tools,
        tool_choice=request.tool_choice,
        tools_run_here=bool(agent.tools),
        output=form,
    )
    row: Row = {
        "id": task,
        "turn": turn,
        "tenant": principal.tenant,
        "agent": agent.id,
        "revision": agent.revision,
        "pool": agent.pool_id,
        "conversation": conversation,
        "api_key": principal.key,
        "input": messages,
        "params": params,
        "options": options_of(body),
        "output_form": stored(form),
        "parent_call": parent_call,
        "priority": request.priority,
        "deadline_at": deadline_at,
        "metadata": request.metadata,
        "idempotency_key": key,
        "idempotency_digest": digest,
        "new_messages": [{"id": new_id(), **message} for message in said] if conversation else [],
    }
    followed = await _expected(context, agent.pool, str(task)) if follow else None
    turn_message = submission(
        turn=str(turn),
        task=str(task),
        tenant=str(principal.tenant),
        key=str(principal.key),
        body=body,
        weight=principal.weight,
        priority=request.priority,
        deadline_ms=round(deadline_at.timestamp() * 1000) if deadline_at else 0,
        max_waiting=principal.max_waiting,
        pool_max_waiting=agent.pool_max_waiting,
        max_running=principal.max_running,
        key_max_waiting=principal.key_max_waiting,
        key_max_running=principal.key_max_running,
        inbox=context.hub.inbox_name if followed else "",
        answer_tokens=agent.answer_tokens,
        is_new=True,
    )
    row["estimated_tokens"] = reserved_tokens(body)
    costs = bill(
        tenant=principal.tenant,
        limits=principal.limits,
        key=principal.key,
        key_limits=principal.key_limits,
        at=datetime.now(UTC),
        requests=1,
        tokens=row["estimated_tokens"],
    )
    try:
        accepted = await context.acceptance.accept(Candidate(row, agent.pool, turn_message, costs))
    except BaseException as error:
        if followed:
            context.hub.drop(followed)
        if key is not None and isinstance(error, Problem) and error.code in LIMIT_CODES:
            with suppress(_NoEarlier):  # what was answered before is not refused now
                return await _earlier(context, principal, key, digest, follow=follow)
        raise
    if accepted.created_at is None:
        if followed:
            context.hub.drop(followed)
        return await _earlier(context, principal, key, digest, follow=follow)
    fresh = _fresh(row, agent, accepted.created_at)
    return Submitted(task, fresh, followed, headers(accepted.readings), ends, accepted.place)


async def _expected(context: Context, pool: str, task: str) -> Subscription:
    """The stream of a task that will be enqueued; the queue being away is a 503, not a wait."""
    expecting = asyncio.ensure_future(context.hub.expect(pool, task))
    try:
        await asyncio.wait((expecting,), timeout=EXPECT_S)
    finally:
        if not expecting.done():  # it stands when the queue is back, and nobody will read it
            expecting.add_done_callback(lambda late: late.cancelled() or context.hub.drop(late.result()))
    if not expecting.done():
        raise unavailable("The queue")
    return expecting.result()


class _NoEarlier(Problem):
    """409: the request that had the key was refused meanwhile."""

    def __init__(self) -> None:
        super().__init__(409, "conflict", "An equal request is just being refused; send it again.", retry_after_s=1)


async def _earlier(context: Context, principal: Principal, key: str | None, digest: str, *, follow: bool) -> Submitted:
    """The task that the same idempotency key made before."""
    row = await _in_the_queue(context, principal, key)
    if row is None:
        raise _NoEarlier
    if row["idempotency_digest"] != digest:
        raise Problem(
            422,
            "idempotency_key_reused",
            f"The idempotency key {key!r} was used for another body; use a new key for a new task.",
        )
    followed = await stream(context, row) if follow else None
    return Submitted(row["id"], row, followed, place=await place_of(context, row))


async def _in_the_queue(context: Context, principal: Principal, key: str | None) -> Row | None:
    """The key's task, once the queue cannot refuse it any more; one that Redis has lost is the sweep's to bring back."""
    give_up_at = time.monotonic() + EXPECT_S
    while True:
        row = await context.db.one(database.TASK_BY_IDEMPOTENCY_KEY, principal.tenant, key)
        if row is None or row["state"] != TaskState.QUEUED or time.monotonic() >= give_up_at:
            return row
        (known,) = await context.hub.queue(row["pool"]).known([str(row["turn"])])
        if known:
            return row
        await asyncio.sleep(LOOK_AGAIN_S)


async def stream(context: Context, row: Row, *, after: int = 0) -> Subscription:
    """The events of a task from behind `after`; to be closed by whoever asked."""
    subscription = context.hub.subscribe(row["pool"], str(row["id"]), after=after)
    try:
        return await subscription.__aenter__()
    except BaseException:
        context.hub.drop(subscription)
        raise


async def find(context: Context, principal: Principal, task: str) -> Row:
    """The tenant's task of that id, or 404."""
    try:
        wanted = uuid.UUID(task)
    except ValueError:
        raise not_found("task") from None
    return await _find(context, principal.tenant, wanted)


async def _find(context: Context, tenant: uuid.UUID, task: uuid.UUID) -> Row:
    row = await context.db.one(database.TASK_BY_ID, tenant, task)
    if row is None:
        raise not_found("task")
    return row


async def place_of(context: Context, row: Row) -> Place | None:
    """Where a task stands in the queue; None if it does not wait, or if the queue cannot say it now."""
    if row["state"] != TaskState.QUEUED:
        return None
    with suppress(QueueUnavailable, TimeoutError):
        async with asyncio.timeout(PLACE_S):
            return await context.hub.queue(row["pool"]).place(str(row["turn"]))
    return None


async def cancel(context: Context, principal: Principal, task: str) -> Row:
    """Ask for a task's end. It ends when its worker has let it go; one that has ended stays as it is."""
    row = await find(context, principal, task)
    return await cancel_of(context, principal.tenant, row["id"])


async def cancel_of(context: Context, tenant: uuid.UUID, task: uuid.UUID) -> Row:
    """As `cancel`, in the tenant's name."""
    row = await _find(context, tenant, task)
    if row["finished_at"] is not None:
        return row
    queue = context.hub.queue(row["pool"])
    (answer,) = await queue.cancel([str(row["turn"])])
    if answer in ("over", "unknown") and await queue.end_task(str(task), turn=str(row["turn"]), state="cancelled"):
        return row  # it was between two turns, and ends there
    if answer == "unknown":
        await context.db.cancel_unknown(tenant, task)
    return row if answer == "stopping" else await _find(context, tenant, task)


def public(row: Row, place: Place | None = None) -> dict[str, Any]:
    """A task's row in the API's form (that of `agents.api.serializers.TaskSerializer`, and its place in the queue)."""
    return {
        "id": row["id"],
        "agent": row["agent"],
        "revision": row["revision"],
        "pool": row["pool"],
        "conversation": row["conversation"],
        "state": row["state"],
        "queue": shown(place),
        "priority": row["priority"],
        "deadline_at": row["deadline_at"],
        "metadata": row["metadata"],
        "output": row["output"],
        "tool_calls": row["tool_calls"],
        "finish_reason": row["finish_reason"],
        "error": row["error"],
        "usage": {"prompt_tokens": row["prompt_tokens"], "completion_tokens": row["completion_tokens"]},
        "attempts": row["attempts"],
        "rerun_of": row["rerun_of"],
        "created_at": row["created_at"],
        "started_at": row["started_at"],
        "first_token_at": row["first_token_at"],
        "finished_at": row["finished_at"],
    }


def _fresh(row: Row, agent: AgentRef, created_at: datetime) -> Row:
    """The row of a task that was accepted this moment, without asking Postgres for it."""
    return {
        **row,
        "agent": agent.slug,
        "revision": agent.number,
        "pool": agent.pool,
        "state": "queued",
        "output": "",
        "tool_calls": None,
        "finish_reason": "",
        "error": None,
        "prompt_tokens": 0,
        "completion_tokens": 0,
        "attempts": 0,
        "rerun_of": None,
        "created_at": created_at,
        "started_at": None,
        "first_token_at": None,
        "finished_at": None,
    }


def _said(request: TaskRequest) -> list[dict[str, Any]]:
    """The input as messages."""
    if (request.input is None) == (request.messages is None):
        raise bad_field("input", "give either `input` (a string) or `messages`")
    messages: Sequence[MessageIn] = request.messages or [MessageIn("user", request.input or "")]
    if not messages:
        raise bad_field("messages", "at least one message is needed")
    for index, message in enumerate(messages):
        if message.tool_calls and message.role != "assistant":
            raise bad_field(f"messages[{index}].tool_calls", "only an assistant's message has them")
        if bool(message.tool_call_id) != (message.role == "tool"):
            raise bad_field(
                f"messages[{index}].tool_call_id", "a tool's message, and no other, names the call that it answers"
            )
        if request.conversation and (message.tool_calls or message.role == "tool"):
            raise bad_field(
                f"messages[{index}]",
                "a conversation keeps no tool calls of its client's; send them as `messages` alone",
            )
    return [{"content": "", **msgspec.to_builtins(message)} for message in messages]


def _tools(agent: AgentRef, request: TaskRequest) -> tuple[ToolSpec, ...]:
    """The agent's own tools, or those that the client offers to call."""
    if request.tools and agent.tools:
        raise bad_field("tools", f"the agent {agent.slug!r} calls tools of its own; use an agent without")
    tools = agent.tools or tuple(ToolSpec(tool.name, tool.description, tool.parameters) for tool in request.tools)
    names = [tool.name for tool in tools]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise bad_field("tools", f"there are two of the name {twice!r}")
    if request.tool_choice not in ("auto", "none"):
        raise bad_field("tool_choice", "only `auto` and `none` are supported here")
    return tools


async def _history(
    context: Context, principal: Principal, conversation: str | None, agent: AgentRef
) -> tuple[uuid.UUID | None, list[dict[str, Any]], uuid.UUID | None]:
    """The conversation, its messages, and the revision of the agent that its last task had."""
    if conversation is None:
        return None, [], None
    try:
        row = await context.db.one(database.HISTORY, agent.id, principal.tenant, uuid.UUID(conversation))
    except ValueError:
        row = None
    if row is None:
        raise bad_field("conversation", "there is no such conversation")
    return row["id"], row["messages"], row["revision"]


def _split_key(request: TaskRequest, task: uuid.UUID) -> str:
    """What decides the revision where several serve. Two first tasks of a conversation at a time get the same one."""
    if request.split_key == "":
        raise bad_field("split_key", "must not be empty; leave it out")
    return request.split_key or request.conversation or str(task)


def _deadline(request: TaskRequest) -> datetime | None:
    if request.deadline_s is not None and request.deadline_at is not None:
        raise bad_field("deadline_at", "give either `deadline_s` or `deadline_at`")
    if request.deadline_s is not None:
        if not 0 < request.deadline_s <= 366 * 86400:
            raise bad_field("deadline_s", "must be above 0 and at most a year")
        return datetime.now(UTC) + timedelta(seconds=request.deadline_s)
    if request.deadline_at is not None:
        if request.deadline_at.tzinfo is None:
            raise bad_field("deadline_at", "needs a time zone, such as 2026-01-01T12:00:00Z")
        if request.deadline_at.timestamp() <= time.time():
            raise bad_field("deadline_at", "has passed already")
    return request.deadline_at


def _idempotency(request: TaskRequest, agent: AgentRef) -> tuple[str | None, str]:
    key = request.idempotency_key
    if key is None:
        return None, ""
    if not 0 < len(key) <= IDEMPOTENCY_KEY_MAX:
        raise bad_field("idempotency_key", f"must have 1 to {IDEMPOTENCY_KEY_MAX} characters")
    said = msgspec.structs.replace(request, agent=agent.name, idempotency_key=None)
    body = msgspec.json.encode(said, order="sorted")
    return key, hashlib.sha256(body).hexdigest()
