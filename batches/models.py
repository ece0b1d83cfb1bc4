"""Files, in pieces; batches, and their lines."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import F, Q

from batches.lifecycle import OPEN, BatchState, LineState
from tenants.identifiers import new_id
from tenants.scoping import TenantOwned


class File(TenantOwned):
    """A tenant's file. It lies in `FileChunk`; web processes share no disk.

    A file that is still being written is nobody's to see, and goes if its writer is not heard of for an hour. A deleted one leaves
    its row, since batches name it.
    """

    class Purpose(models.TextChoices):
        """Who wrote it: a tenant, or a batch."""

        BATCH = "batch"
        BATCH_OUTPUT = "batch_output"

    class State(models.TextChoices):
        """Whether it is whole."""

        UPLOADING = "uploading"
        PROCESSED = "processed"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    filename = models.CharField(max_length=255)
    purpose = models.CharField(max_length=16, choices=Purpose.choices)
    state = models.CharField(max_length=16, choices=State.choices, default=State.UPLOADING)
    bytes = models.PositiveBigIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    touched_at = models.DateTimeField(auto_now_add=True, help_text="When it was last written to.")
    expires_at = models.DateTimeField(null=True, blank=True)
    deleted_at = models.DateTimeField(null=True, blank=True)
    emptied_at = models.DateTimeField(null=True, blank=True, help_text="When the last piece of a deleted one was gone.")

    class Meta:
        ordering: ClassVar = ["-id"]
        indexes: ClassVar = [
            models.Index(fields=["tenant", "-id"], name="file_by_tenant"),
            models.Index(fields=["touched_at"], name="file_uploading", condition=Q(state="uploading")),
            models.Index(fields=["expires_at"], name="file_expiring", condition=Q(deleted_at__isnull=True)),
            models.Index(
                fields=["deleted_at"],
                name="file_emptying",
                condition=Q(deleted_at__isnull=False, emptied_at__isnull=True),
            ),
            models.Index(fields=["emptied_at"], name="file_emptied", condition=Q(emptied_at__isnull=False)),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(purpose__in=["batch", "batch_output"]), name="file_purpose_known"),
            models.CheckConstraint(condition=Q(state__in=["uploading", "processed"]), name="file_state_known"),
            models.CheckConstraint(
                condition=Q(emptied_at__isnull=True) | Q(deleted_at__isnull=False), name="file_emptied_once_deleted"
            ),
        ]

    def __str__(self) -> str:
        return self.filename


class FileChunk(TenantOwned):
    """A piece of a file, numbered from 0. All but the last have `batches.storage.CHUNK_BYTES`."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    file = models.ForeignKey(File, on_delete=models.CASCADE, related_name="+")
    number = models.PositiveIntegerField()
    data = models.BinaryField()

    class Meta:
        ordering: ClassVar = ["file", "number"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["file", "number"], name="chunk_number_per_file")]

    def __str__(self) -> str:
        return f"{self.file_id}/{self.number}"


class Batch(TenantOwned):
    """The lines of a file, each run as a task, within 24 hours.

    `holder` is the process that runs it, until `held_until`.
    """

    STATES: ClassVar = [(state.value, state.value) for state in BatchState]

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    api_key = models.ForeignKey(
        "tenants.ApiKey",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="In whose name the lines are run.",
    )
    endpoint = models.CharField(max_length=64)
    input_file = models.ForeignKey(File, on_delete=models.PROTECT, related_name="+")
    output_file = models.OneToOneField(File, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    error_file = models.OneToOneField(File, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=16, choices=STATES, default=BatchState.VALIDATING.value)
    metadata = models.JSONField(null=True, blank=True)
    errors = models.JSONField(null=True, blank=True, help_text="Why the file could not be run at all.")
    total = models.PositiveIntegerField(default=0)
    completed = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    output_expires_after_s = models.PositiveIntegerField(
        null=True, blank=True, help_text="How long its files stay, from their making; empty: as the settings say."
    )
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    in_progress_at = models.DateTimeField(null=True, blank=True)
    finalizing_at = models.DateTimeField(null=True, blank=True)
    cancelling_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    holder = models.CharField(max_length=64, blank=True)
    held_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["-id"]
        verbose_name_plural = "batches"
        indexes: ClassVar = [
            models.Index(fields=["tenant", "-id"], name="batch_by_tenant"),
            models.Index(fields=["input_file"], name="batch_open", condition=Q(state__in=sorted(OPEN))),
            models.Index(fields=["ended_at"], name="batch_ended", condition=Q(ended_at__isnull=False)),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(state__in=sorted(BatchState)), name="batch_state_known"),
            models.CheckConstraint(
                condition=Q(total__gte=F("completed") + F("failed")), name="batch_no_more_ended_than_there_are"
            ),
            models.CheckConstraint(
                condition=Q(state__in=sorted(OPEN), ended_at__isnull=True)
                | (~Q(state__in=sorted(OPEN)) & Q(ended_at__isnull=False)),
                name="batch_ended_iff_outcome",
            ),
        ]

    def __str__(self) -> str:
        return f"batch_{self.pk}"


class Line(TenantOwned):
    """One request of a batch, until the batch has ended: then its answer lies in one of the batch's files.

    `failure` is what the error file says of a line that has no task, or no answer.
    """

    STATES: ClassVar = [(state.value, state.value) for state in LineState]

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    batch = models.ForeignKey(Batch, on_delete=models.CASCADE, related_name="+")
    number = models.PositiveIntegerField(help_text="The line's number in the file, from 1.")
    offset = models.PositiveBigIntegerField(help_text="Where it begins in the file, in bytes.")
    length = models.PositiveIntegerField()
    custom_id = models.CharField(max_length=256, null=True, blank=True)  # noqa: DJ001 - a line that is no JSON has none
    state = models.CharField(max_length=8, choices=STATES, default=LineState.WAITING.value)
    model = models.CharField(max_length=255, blank=True, help_text="As the line names it.")
    asked = models.JSONField(null=True, blank=True, help_text="What the form of its answer needs of its request.")
    task = models.OneToOneField(
        "agents.Task",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="The first of its tasks; others are `FurtherTask`s.",
    )
    task_count = models.PositiveSmallIntegerField(default=1, help_text="How many tasks it has, or will have at least.")
    failure = models.JSONField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["batch", "number"]
        indexes: ClassVar = [
            models.Index(fields=["batch", "number"], name="line_waiting", condition=Q(state="waiting")),
            models.Index(fields=["tenant", "batch"], name="line_running", condition=Q(state="running")),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["batch", "number"], name="line_number_per_batch"),
            models.UniqueConstraint(
                fields=["batch", "custom_id"], condition=Q(failure__isnull=True), name="line_custom_id_per_batch"
            ),
            models.CheckConstraint(condition=Q(task_count__gte=1), name="line_has_a_task"),
            models.CheckConstraint(
                condition=Q(state="waiting", task__isnull=True, failure__isnull=True)
                | Q(state="running", task__isnull=False, failure__isnull=True)
                | (Q(state="ended") & (Q(task__isnull=False) | Q(failure__isnull=False))),
                name="line_has_what_its_state_says",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.batch_id}/{self.number}"


class FurtherTask(TenantOwned):
    """The second and later tasks of a line that asks for several answers. All of a line's were accepted together."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    line = models.ForeignKey(Line, on_delete=models.CASCADE, related_name="+")
    number = models.PositiveSmallIntegerField(help_text="Its place among the line's tasks, from 2.")
    task = models.OneToOneField("agents.Task", on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering: ClassVar = ["line", "number"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["line", "number"], name="further_task_number_per_line"),
            models.CheckConstraint(condition=Q(number__gte=2), name="further_task_is_no_first"),
        ]

    def __str__(self) -> str:
        return f"{self.line_id}/{self.number}"
