"""What a worker is made from, as pools and their revisions keep it."""

from __future__ import annotations

from django.core.validators import MinValueValidator
from django.db import models

from orchestrator.validators import valid_engine_args, valid_env, valid_mounts


class Recipe(models.Model):
    """What a worker is made from: a pool's wish, and what a revision keeps of it."""

    class Engine(models.TextChoices):
        VLLM = "vllm", "vLLM"
        TRANSFORMERS = "transformers", "transformers"
        EMBEDDING = "embedding", "embedding (texts to vectors, by transformers)"
        SIMULATED = "simulated", "simulated (a stand-in for load tests)"
        SCRIPTED = "scripted", "scripted (says what its arguments say, for tests and demonstrations)"

    class Runtime(models.TextChoices):
        PROCESS = "process", "process on this host"
        DOCKER = "docker", "Docker container on this host"

    engine = models.CharField(max_length=20, choices=Engine)
    model = models.CharField(max_length=500, blank=True, help_text="Folder or hub id; the simulated engine needs none.")
    engine_args = models.JSONField(
        default=dict, blank=True, validators=[valid_engine_args], help_text="Passed to the engine as they stand."
    )
    runtime = models.CharField(max_length=20, choices=Runtime, default=Runtime.PROCESS)
    image = models.CharField(max_length=500, blank=True, help_text="Container image; empty: the setting's.")
    gpus_per_worker = models.PositiveSmallIntegerField(
        default=0, help_text="Whole GPUs that a worker has for itself; more than one for tensor parallelism."
    )
    gpu_share = models.FloatField(
        default=1.0,
        help_text="Part of its GPU that a worker has where it has one: at 0.5, two workers share a GPU. For vLLM, "
        "gpu_memory_utilization follows from it, unless the engine arguments say otherwise.",
    )
    cpus_per_worker = models.PositiveSmallIntegerField(
        default=0,
        help_text="Cores of the host (OPSITE_CPUS) that each worker is counted for, with a GPU or without: no more workers start "
        "than there are cores for. Its engine takes so many threads (OMP_NUM_THREADS); it is not kept from using more. "
        "0: not counted.",
    )
    slots = models.PositiveSmallIntegerField(
        default=8, validators=[MinValueValidator(1)], help_text="Turns that a worker runs at once."
    )
    env = models.JSONField(
        default=dict, blank=True, validators=[valid_env], help_text="Environment of the worker, beside Opsite's own."
    )
    mounts = models.JSONField(
        default=list,
        blank=True,
        validators=[valid_mounts],
        help_text="Host folders that a container sees, read-only, at the same path.",
    )
    generation = models.PositiveIntegerField(
        default=0,
        db_default=0,  # an orchestrator of the version before makes revisions, too, until it is replaced
        help_text="Raised to replace all workers by new ones that are made from the same.",
    )

    class Meta:
        abstract = True
