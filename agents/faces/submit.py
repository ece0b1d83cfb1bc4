"""From a request to an accepted task: resolve the agent, put the context together, commit and enqueue. All faces come here."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET

from agents import measured
from agents.faces.acceptance import Accepted, Candidate, ConversationMoved
from agents.faces.as_response import AsResponse
from agents.faces.asked import deadline_of, input_of, past_of, setting_of, split_key_of, texts_of
from agents.faces.context import Context
from agents.faces.database import Row
from agents.faces.earlier import NoEarlier, all_earlier
from agents.faces.engine_features import check_features, output_form
from agents.faces.idempotency import Idempotency, idempotency
from agents.faces.leaving import ends_with_client
from agents.faces.memory import Memory, due, remembered
from agents.faces.offered_tools import offered
from agents.faces.principals import AgentRef, Principal
from agents.faces.prompts import preface
from agents.faces.requests import TaskRequest
from agents.faces.submitted import Submitted
from agents.limits import bill, headers, refusal_of_spent
from agents.money import allowance
from agents.output_forms import stored
from agents.problems import LIMIT_CODES, Problem, bad_field, unavailable
from agents.sampling import layered, validated
from agents.submissions import body_of, options_of, reserved_tokens, submission
from agents.summaries import summary_body
from taskqueue.inbox import Subscription
from taskqueue.messages import OutputForm, TurnBody
from telemetry import logs, tracing
from tenants.identifiers import new_id

log = logging.getLogger(__name__)

EXPECT_S = 5.0
"""How long a submission that is followed waits for this process's inbox in Redis."""
MOVES_MAX = 10
"""How often a conversation may go on under a submission before its sender is told to come again."""
WANTED_DEFAULTS: dict[str, Any] = {"max_tokens": 256}


async def submit(
    context: Context,
    principal: Principal,
    request: TaskRequest,
    *,
    follow: bool = False,
    parent_call: uuid.UUID | None = None,
    money_left: Decimal | None = None,
) -> Submitted:
    """Accept a task; raises the `Problem` that refuses it. `money_left`: what those that hand it over may still spend."""
    agent = await context.directory.agent(principal.tenant, request.agent)
    if agent is None:
        raise bad_field("agent", f"there is no agent {request.agent!r}")
    return await submit_to(
        context, principal, agent, request, follow=follow, parent_call=parent_call, money_left=money_left
    )


async def submit_to(
    context: Context,
    principal: Principal,
    agent: AgentRef,
    request: TaskRequest,
    *,
    follow: bool = False,
    response: AsResponse | None = None,
    parent_call: uuid.UUID | None = None,
    money_left: Decimal | None = None,
) -> Submitted:
    """As `submit`, with the agent known. `parent_call` is the tool call by which another task hands this one over."""
    (submitted,) = await submit_together(
        context,
        principal,
        agent,
        [request],
        follow=follow,
        response=response,
        parent_call=parent_call,
        money_left=money_left,
    )
    return submitted


async def submit_together(
    context: Context,
    principal: Principal,
    agent: AgentRef,
    requests: Sequence[TaskRequest],
    *,
    follow: bool = False,
    response: AsResponse | None = None,
    parent_call: uuid.UUID | None = None,
    money_left: Decimal | None = None,
) -> list[Submitted]:
    """Several tasks of one call, which counts as one request: all of them are accepted, or none. One revision answers all."""
    with tracing.begun("submit"):
        for _ in range(MOVES_MAX):
            with suppress(ConversationMoved):
                try:
                    return await _submit_once(
                        context,
                        principal,
                        agent,
                        requests,
                        follow=follow,
                        response=response,
                        parent_call=parent_call,
                        money_left=money_left,
                    )
                except Problem as refusal:
                    measured.submitted(agent.pool, refusal.code, count=len(requests))
                    raise
    raise Problem(409, "conflict", "The conversation goes on too fast to be followed; send it again.", retry_after_s=1)


async def _submit_once(
    context: Context,
    principal: Principal,
    agent: AgentRef,
    requests: Sequence[TaskRequest],
    *,
    follow: bool,
    response: AsResponse | None,
    parent_call: uuid.UUID | None,
    money_left: Decimal | None,
) -> list[Submitted]:
    """Raises `ConversationMoved` where it went on while its past was put together."""
    keyed = idempotency(requests, response, agent=agent.name)
    ids = [new_id() for _ in requests]
    past = await past_of(context, principal, requests[0], agent)
    agent = agent.serving(key=split_key_of(requests[0], ids[0]), kept=past.revision)
    memory = await remembered(context, principal, past, setting_of(agent, requests[0]), pool=agent.pool_id)
    forms = [await output_form(agent, request) for request in requests]
    offers = [await offered(agent, request) for request in requests]
    drafts = [
        _draft(
            context,
            principal,
            agent,
            request,
            by,
            task=task,
            memory=memory,
            form=forms[number],
            offer=offers[number],
            counts=number == 0,
            follow=follow,
            response=response,
            parent_call=parent_call,
            money_left=money_left,
        )
        for number, (task, request, by) in enumerate(zip(ids, requests, keyed, strict=True))
    ]
    followed: list[Subscription | None] = [None] * len(drafts)
    candidates = [draft.candidate for draft in drafts]
    try:
        if spent := refusal_of_spent(
            tenant_until=principal.budget_spent_until, key_until=principal.key_budget_spent_until, now=datetime.now(UTC)
        ):
            raise spent
        if follow:
            for number, candidate in enumerate(candidates):
                followed[number] = await _expected(context, agent.pool, candidate.submission.task)
        accepted = await context.acceptance.accept_together(candidates)
    except BaseException as error:
        _drop(context, followed)
        if keyed[0].key is not None and isinstance(error, Problem) and error.code in LIMIT_CODES:
            with suppress(NoEarlier):  # what was answered before is not refused now
                return await all_earlier(context, principal, agent, keyed, follow=follow)
        raise
    if any(one.created_at is None for one in accepted):
        _drop(context, followed)
        return await all_earlier(context, principal, agent, keyed, follow=follow)
    measured.submitted(agent.pool, "accepted", count=len(accepted))
    logs.note(task=candidates[0].row["id"], tenant=principal.tenant)
    if log.isEnabledFor(logging.DEBUG):
        for row in [candidate.row for candidate in candidates]:
            with logs.about(task=row["id"], tenant=principal.tenant, trace=row.get("trace")):
                log.debug("task %s is accepted", row["id"])
    return [
        Submitted(
            draft.candidate.row["id"],
            _fresh(draft.candidate.row, agent, one),
            stream,
            headers(one.readings),
            draft.ends_with_client,
            one.place,
        )
        for draft, one, stream in zip(drafts, accepted, followed, strict=True)
        if one.created_at is not None
    ]


class _Draft(NamedTuple):
    candidate: Candidate
    ends_with_client: bool


def _draft(
    context: Context,
    principal: Principal,
    agent: AgentRef,
    request: TaskRequest,
    by: Idempotency,
    *,
    task: uuid.UUID,
    memory: Memory,
    form: OutputForm | None,
    offer: TurnBody,
    counts: bool,
    follow: bool,
    response: AsResponse | None,
    parent_call: uuid.UUID | None,
    money_left: Decimal | None,
) -> _Draft:
    """One task of a call, ready to be accepted. `counts`: as the call's one request."""
    embed = texts_of(request, agent)
    params = {} if embed else layered(WANTED_DEFAULTS, agent.default_params, agent.params, request.parameters)
    sampling = validated(params)
    asked, said = ([], []) if embed else input_of(agent, request, memory.past, response)
    setting = setting_of(agent, request)
    plan = due(memory, setting, asked=asked, said=said)
    check_features(agent, sampling=sampling, form=form, must_call=offer.must_call)
    deadline_at = deadline_of(request)
    ends = ends_with_client(request, by_default=principal.cancel_on_disconnect, followed=follow)
    if not 0 <= request.priority <= 9:
        raise bad_field("priority", "must be between 0 (first) and 9 (last)")

    turn, conversation = new_id(), memory.past.conversation
    beside = msgspec.structs.replace(
        offer, embed=embed, truncate=request.truncate is True, context=None if setting is None else setting.rule
    )
    options = options_of(beside)
    left = [amount for amount in (agent.max_cost, money_left) if amount is not None]
    allowed = allowance(left, prices=agent.token_prices, now=datetime.now(UTC))
    body = msgspec.structs.replace(body_of(asked, params, options, output_form=stored(form)), allowance=allowed)
    first = body if plan is None else summary_body(body, plan)
    trace = tracing.place()
    row: Row = {
        "id": task,
        "turn": turn,
        "tenant": principal.tenant,
        "agent": agent.id,
        "revision": agent.revision,
        "pool": agent.pool_id,
        "conversation": conversation,
        "api_key": principal.key,
        "submitted_by": principal.submitted_by,
        "input": asked,
        "params": params,
        "options": options,
        "output_form": stored(form),
        "allowance": allowed,
        "parent_call": parent_call,
        "summarises": plan,
        "priority": request.priority,
        "deadline_at": deadline_at,
        "metadata": request.metadata,
        "idempotency_key": by.key,
        "idempotency_digest": by.digest,
    }
    if trace:
        row["trace"] = trace
    if conversation is not None:
        row["new_messages"] = [{"id": new_id(), **message} for message in said]
        row["place"] = {
            "after": memory.past.after,
            "branches": memory.past.branches,
            "question": memory.past.question,
            "when_busy": None if request.when_busy is UNSET else request.when_busy,
            "before": len(asked) - len(memory.past.messages) - len(said),
        }
    if response is not None and response.stored is not None:
        instructed = preface(agent.system_prompt, response) is not None
        row["response"] = {**response.stored, "preface": int(instructed), "said": len(said)}
    turn_message = submission(
        turn=str(turn),
        task=str(task),
        tenant=str(principal.tenant),
        key=str(principal.key or ""),
        body=first,
        weight=principal.weight,
        priority=request.priority,
        deadline_ms=round(deadline_at.timestamp() * 1000) if deadline_at else 0,
        max_waiting=principal.max_waiting,
        pool_max_waiting=agent.pool_max_waiting,
        max_running=principal.max_running,
        key_max_waiting=principal.key_max_waiting,
        key_max_running=principal.key_max_running,
        inbox=context.hub.inbox_name if follow else "",
        answer_tokens=agent.answer_tokens,
        is_new=True,
        trace=trace,
    )
    row["estimated_tokens"] = reserved_tokens(body) + (0 if plan is None else reserved_tokens(first))
    costs = bill(
        tenant=principal.tenant,
        limits=principal.limits,
        key=principal.key,
        key_limits=principal.key_limits,
        at=datetime.now(UTC),
        requests=1 if counts else 0,
        tokens=row["estimated_tokens"],
    )
    return _Draft(Candidate(row, agent.pool, turn_message, costs), ends)


def _drop(context: Context, followed: Sequence[Subscription | None]) -> None:
    for subscription in followed:
        if subscription is not None:
            context.hub.drop(subscription)


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


def _fresh(row: Row, agent: AgentRef, accepted: Accepted) -> Row:
    """The row of a task that was accepted this moment, without asking Postgres for it."""
    return {
        **row,
        "agent": agent.slug,
        "revision": agent.number,
        "pool": agent.pool,
        "state": "waiting" if accepted.waits else "queued",
        "output": "",
        "logprobs": None,
        "tool_calls": None,
        "finish_reason": "",
        "error": None,
        "prompt_tokens": 0,
        "completion_tokens": 0,
        "context_use": None,
        "attempts": 0,
        "rerun_of": None,
        "created_at": accepted.created_at,
        "started_at": None,
        "first_token_at": None,
        "finished_at": None,
    }
