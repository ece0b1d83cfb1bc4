"""A pool's revision as what a runtime needs to start one of its workers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.credentials import Credentials
from orchestrator.recipe_fields import BadField, engine_args_of, env_of, mounts_of
from orchestrator.recipe_models import Recipe
from orchestrator.runtimes import WorkerSpec

PYTHON = "OPSITE_WORKER_PYTHON"
MEMORY, PIDS, SHM = "OPSITE_MEMORY_BYTES", "OPSITE_PIDS_LIMIT", "OPSITE_SHM_BYTES"
_FOR_THE_RUNTIME = {PYTHON, MEMORY, PIDS, SHM}
REDIS_URL, SALT_KEY = "OPSITE_REDIS_URL", "OPSITE_CACHE_SALT_KEY"
_NOT_A_POOLS = (REDIS_URL, SALT_KEY)


RECIPE = tuple(field.name for field in Recipe._meta.local_fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What does not depend on the pool: the stack's name and the settings' defaults."""

    stack: str
    python: str
    image: str
    base_folder: Path
    log_level: str = "info"
    log_format: str = "plain"


class BadPool(Exception):
    """A pool's env, mounts or engine arguments cannot be given to a worker: the message names what to correct."""


def worker_spec(
    recipe: Recipe,
    *,
    pool: str,
    lease_s: float,
    worker: str,
    gpus: tuple[str, ...],
    site: Site,
    credentials: Credentials,
    weights: str = "",
) -> WorkerSpec:
    """The spec of one worker of the pool of that slug. A model that is a folder is given by its absolute path, and mounted.

    So is one from a hub, whose snapshot lies in `weights`: its files are links into the folder that is mounted.
    """
    try:
        given, mounts = env_of(recipe.env), mounts_of(recipe.mounts)
        engine_args = _engine_args(recipe, engine_args_of(recipe.engine_args))
    except BadField as error:
        raise BadPool(f"Pool {pool}: {error}") from None
    folder = Path(weights) if weights else model_folder(recipe.model, site.base_folder)
    if bad := [name for name in _NOT_A_POOLS if name in given]:
        raise BadPool(f"Pool {pool} sets {bad[0]} in its env: each worker is given its own.")
    env = {
        REDIS_URL: credentials.redis_url,
        SALT_KEY: credentials.cache_salt_key,
        "OPSITE_POOL": pool,
        "OPSITE_WORKER_ID": worker,
        "OPSITE_ENGINE": recipe.engine,
        "OPSITE_MODEL": str(folder) if folder else recipe.model,
        "OPSITE_SLOTS": str(recipe.slots),
        "OPSITE_LEASE_S": str(lease_s),
        "OPSITE_ENGINE_ARGS": json.dumps(engine_args),
        "OPSITE_LOG_LEVEL": site.log_level,
        "OPSITE_LOG_FORMAT": site.log_format,
    }
    if recipe.cpus_per_worker:
        env["OMP_NUM_THREADS"] = str(recipe.cpus_per_worker)
    if folder and str(shown := folder.parent.parent if weights else folder) not in mounts:
        mounts.append(str(shown))
    return WorkerSpec(
        worker=worker,
        pool=pool,
        stack=site.stack,
        env={**env, **{name: value for name, value in given.items() if name not in _FOR_THE_RUNTIME}},
        python=given.get(PYTHON) or site.python,
        image=recipe.image or site.image,
        gpus=gpus,
        mounts=tuple(mounts),
        redis_url=credentials.redis_url,
        limits=_limits(pool, given),
    )


def model_folder(model: str, base_folder: Path) -> Path | None:
    """The folder that the pool's model names, relative to the project or absolute; None for a hub id."""
    if not model:
        return None
    try:
        path = (base_folder / model).resolve()
        return path if path.is_dir() else None
    except (OSError, RuntimeError):  # no folder has such a name: too long, or a loop of links
        return None


def fingerprint(recipe: Recipe) -> str:
    """Changes when workers would be started differently: then past failures say nothing."""
    parts: dict[str, Any] = {name: getattr(recipe, name) for name in RECIPE}
    if not recipe.generation:
        del parts["generation"]  # what was made before there were generations keeps its name
    return json.dumps(parts, sort_keys=True, default=str)


def _engine_args(recipe: Recipe, args: dict[str, Any]) -> dict[str, Any]:
    """The recipe's own; vLLM takes no more of a shared GPU's memory than its share, with a little left for CUDA itself."""
    if recipe.engine == Recipe.Engine.VLLM and recipe.gpu_share < 1:
        args.setdefault("gpu_memory_utilization", round(recipe.gpu_share * 0.95, 3))
    return args


def _limits(slug: str, given: Mapping[str, str]) -> dict[str, int]:
    names = {MEMORY: "memory_bytes", PIDS: "pids", SHM: "shm_bytes"}
    try:
        return {limit: int(given[name]) for name, limit in names.items() if name in given}
    except ValueError as error:
        raise BadPool(f"Pool {slug}: {', '.join(names)} in its env must be whole numbers ({error}).") from None
