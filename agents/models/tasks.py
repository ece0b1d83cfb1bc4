"""Tasks, what they are as responses of OpenAI's API, and their turns."""

from __future__ import annotations

from typing import ClassVar

from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.fields.json import KeyTextTransform
from django.db.models.lookups import In

from agents.lifecycle import DEAD_LETTER_CODES, ENDED_BADLY, OUTCOMES, TaskState
from agents.models.agents import OUTPUT_FORM, Agent, AgentRevision
from agents.models.conversations import Conversation
from telemetry.context import CHARS, PATTERN
from tenants.identifiers import new_id
from tenants.scoping import TenantOwned

CONTEXT_USE = "What of the messages was sent, as the last turn that ended counted it, where the context has a rule."
STATES = [(state.value, state.value) for state in TaskState]


class Task(TenantOwned):
    """One run of an agent on an input, from acceptance to its outcome."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    # Agent, pool and key have no index of their own: those with the time behind them serve.
    agent = models.ForeignKey(Agent, on_delete=models.PROTECT, related_name="tasks", db_index=False)
    revision = models.ForeignKey(AgentRevision, on_delete=models.PROTECT, related_name="+")
    pool = models.ForeignKey("orchestrator.Pool", on_delete=models.PROTECT, related_name="+", db_index=False)
    conversation = models.ForeignKey(
        Conversation, null=True, blank=True, on_delete=models.PROTECT, related_name="tasks"
    )
    api_key = models.ForeignKey(
        "tenants.ApiKey", null=True, blank=True, on_delete=models.SET_NULL, related_name="+", db_index=False
    )
    submitted_by = models.CharField(
        max_length=150,
        blank=True,
        default="",
        db_default="",
        help_text="The member of staff who submitted it from the console; empty: the tenant did.",
    )
    state = models.CharField(max_length=10, choices=STATES, default=TaskState.QUEUED.value)
    input = models.JSONField(
        help_text="The messages as they are sent to the model, system prompt and history included; a plain prompt as a string."
    )
    params = models.JSONField(default=dict, blank=True)
    output_form = models.TextField(blank=True, default="", db_default="", help_text=OUTPUT_FORM)
    options = models.JSONField(
        default=dict,
        blank=True,
        help_text="What each of its turns takes to a worker beside messages and parameters, as in `TurnBody`.",
    )
    parent_call = models.OneToOneField(
        "ToolCall",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="child",
        help_text="The call by which another task handed this one over.",
    )
    priority = models.PositiveSmallIntegerField(
        default=5, validators=[MaxValueValidator(9)], help_text="0 first, 9 last, within the tenant."
    )
    deadline_at = models.DateTimeField(null=True, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    idempotency_key = models.CharField(max_length=255, null=True, blank=True)  # noqa: DJ001 - NULLs are not unique
    idempotency_digest = models.CharField(max_length=64, blank=True)
    output = models.TextField(blank=True)
    logprobs = models.TextField(  # noqa: DJ001 - as they came, or none
        null=True,
        blank=True,
        editable=False,
        help_text="The answer's log probabilities, where they were asked for: a list in JSON, as in the event `logprobs`.",
    )
    tool_calls = models.JSONField(null=True, blank=True, help_text="What its client is to call, if it ended so.")
    finish_reason = models.CharField(max_length=32, blank=True)
    error = models.JSONField(null=True, blank=True)
    estimated_tokens = models.PositiveIntegerField(
        default=0, help_text="What was reserved of the tenant's tokens; counts until the task has ended."
    )
    prompt_tokens = models.PositiveIntegerField(default=0)
    completion_tokens = models.PositiveIntegerField(default=0)
    cached_tokens = models.PositiveIntegerField(
        default=0, db_default=0, help_text="Prompt tokens that the engine had in its prefix cache, where it says so."
    )
    context_use = models.JSONField(null=True, blank=True, help_text=CONTEXT_USE)
    attempts = models.PositiveSmallIntegerField(default=0)
    trace = models.CharField(
        max_length=CHARS,
        blank=True,
        default="",
        db_default="",
        editable=False,
        help_text="Its place in a trace, as the W3C's traceparent with tracestate; empty: there is none.",
    )
    rerun_of = models.OneToOneField(
        "self",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="rerun",
        help_text="The task that staff ran again as this one.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    first_token_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["-created_at", "-id"]
        indexes: ClassVar = [
            models.Index(fields=["tenant", "-created_at", "-id"], name="task_by_tenant"),
            models.Index(fields=["-created_at"], name="task_by_time"),
            models.Index(fields=["created_at"], name="task_open", condition=~Q(state__in=sorted(OUTCOMES))),
            models.Index(fields=["agent", "-created_at", "-id"], name="task_by_agent"),
            models.Index(fields=["pool", "-created_at", "-id"], name="task_by_pool"),
            models.Index(
                fields=["idempotency_key"], name="task_by_idempotency_key", condition=Q(idempotency_key__isnull=False)
            ),
            models.Index(fields=["api_key", "-created_at", "-id"], name="task_by_key"),
            # Few of all tasks end so, and staff looks for just these.
            models.Index(
                fields=["state", "-created_at", "-id"],
                name="task_ended_badly",
                condition=Q(state__in=sorted(state.value for state in ENDED_BADLY)),
            ),
            models.Index(
                KeyTextTransform("code", "error"),
                F("created_at").desc(),
                F("id").desc(),
                name="task_by_error",
                condition=Q(state=TaskState.FAILED.value),
            ),
            # Of two codes the index above has two orders by time, and not one.
            models.Index(
                fields=["-created_at", "-id"],
                name="task_dead_letters",
                condition=Q(
                    In(KeyTextTransform("code", "error"), sorted(DEAD_LETTER_CODES)), state=TaskState.FAILED.value
                ),
            ),
            models.Index(fields=["-created_at", "-id"], name="task_of_batches", condition=Q(metadata__has_key="batch")),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "idempotency_key"], name="task_idempotency_per_tenant"),
            models.CheckConstraint(
                condition=Q(state__in=[state.value for state in TaskState]), name="task_state_known"
            ),
            models.CheckConstraint(condition=Q(priority__lte=9), name="task_priority_range"),
            models.CheckConstraint(
                condition=Q(state__in=sorted(OUTCOMES), finished_at__isnull=False)
                | (~Q(state__in=sorted(OUTCOMES)) & Q(finished_at__isnull=True)),
                name="task_finished_iff_outcome",
            ),
            models.CheckConstraint(condition=~Q(rerun_of=F("id")), name="task_rerun_of_another"),
            models.CheckConstraint(condition=Q(trace="") | Q(trace__regex=PATTERN), name="task_trace_well_formed"),
            models.CheckConstraint(
                condition=Q(submitted_by="") | Q(api_key__isnull=True), name="task_of_staff_has_no_key"
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)

    @property
    def is_dead_letter(self) -> bool:
        """Whether it failed because no worker could run it, and not by what it asked for."""
        return self.state == TaskState.FAILED and (self.error or {}).get("code") in DEAD_LETTER_CODES


class StoredResponse(TenantOwned):
    """A task as a response of OpenAI's Responses API: what its row does not say. Without this one it cannot be retrieved there.

    The context of whoever continues it is the task's input behind `preface`, and its output; so a chain of responses needs no walk,
    and outlives the deletion of its links.
    """

    task = models.OneToOneField(Task, on_delete=models.CASCADE, primary_key=True, related_name="response")
    model = models.CharField(max_length=200, help_text="The model's name as it was asked for.")
    previous_id = models.UUIDField(
        null=True, blank=True, help_text="The response that it continues, which may have been deleted since."
    )
    instructions = models.TextField(null=True, blank=True)  # noqa: DJ001 - none and empty are shown apart
    background = models.BooleanField(default=False)
    preface = models.PositiveSmallIntegerField(
        help_text="Messages at the start of the task's input that are no context of what follows: its instructions."
    )
    said = models.PositiveIntegerField(help_text="Messages at the end of the task's input that came with the request.")
    asked = models.JSONField(default=dict, blank=True, help_text="Further parameters of the request that are shown.")

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(preface__lte=1, said__gt=0), name="response_parts_of_input"),
        ]

    def __str__(self) -> str:
        return f"resp_{self.task_id}"


class Turn(TenantOwned):
    """One model call inside a task: the unit that a worker claims."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    # Without an index of its own: that with the order of the console's list behind it serves.
    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.PROTECT, related_name="+", db_index=False)
    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="turns")
    number = models.PositiveSmallIntegerField(default=1)
    state = models.CharField(max_length=10, choices=STATES, default=TaskState.QUEUED.value)
    attempts = models.PositiveSmallIntegerField(default=0)
    worker = models.CharField(max_length=100, blank=True, help_text="The last holder.")
    context = models.JSONField(default=list, blank=True, help_text="The messages that came since the turn before.")
    output = models.TextField(
        blank=True, help_text="What it said, if its task went on behind it; else the task has it."
    )
    prompt_tokens = models.PositiveIntegerField(default=0)
    completion_tokens = models.PositiveIntegerField(default=0)
    cached_tokens = models.PositiveIntegerField(default=0, db_default=0)
    attempt_log = models.JSONField(
        null=True,
        blank=True,
        help_text="Where it was taken over: its attempts by number, with their workers, times and tokens so far.",
    )
    allowance = models.JSONField(
        null=True, blank=True, help_text="What it may cost at most, and the prices of its tokens, in trillionths."
    )
    context_use = models.JSONField(null=True, blank=True, help_text=CONTEXT_USE)
    summarises = models.JSONField(
        null=True,
        blank=True,
        help_text="Of a turn that writes a summary: the messages of its task's input that it stands for (first, count), the id of "
        "the last one, and how many tokens it may have.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    queued_at = models.DateTimeField()
    claimed_at = models.DateTimeField(null=True, blank=True)
    first_token_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["task", "number"]
        indexes: ClassVar = [models.Index(fields=["tenant", "-id"], name="turn_by_tenant")]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["task", "number"], name="turn_number_per_task"),
            models.CheckConstraint(condition=Q(number__gt=0) & Q(attempts__gte=0), name="turn_numbers"),
        ]

    def __str__(self) -> str:
        return f"{self.task_id}/{self.number}"
