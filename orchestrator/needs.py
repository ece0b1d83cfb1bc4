"""What a pool's workers need on their host before they can start: their image, and weights that lie at a model hub."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from orchestrator.models import Pool, PoolRevision, Rollout
from orchestrator.recipe_fields import is_revision
from orchestrator.recipe_models import Recipe
from orchestrator.specs import model_folder
from orchestrator.stock.items import TOKEN, Item, merged

HUB_ID = re.compile(r"^[\w.-]+(/[\w.-]+)?$")
OFFLINE, OWN_CACHE = "HF_HUB_OFFLINE", ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE")
WAY_TO_HUB = (TOKEN, "HF_ENDPOINT", OFFLINE)
_TRUE = ("1", "on", "yes", "true")


def needed(recipe: Recipe, *, image: str, base_folder: Path) -> tuple[Item, ...]:
    """All that such a worker needs. `image`: the one of a recipe that names none.

    Nothing is fetched for a model that is a folder, where the hub is not to be asked (`HF_HUB_OFFLINE`, the pool's or this
    process'), and for a pool that says itself where its weights lie (a cache in its env, vLLM's `download_dir`).
    """
    items = []
    if recipe.runtime == Recipe.Runtime.DOCKER and (name := recipe.image or image):
        items.append(Item("image", name))
    env = {str(name): str(value) for name, value in _mapping(recipe.env).items()}
    revision = _mapping(recipe.engine_args).get("revision")
    if recipe.engine != Recipe.Engine.SIMULATED and _is_fetched(recipe, env, base_folder) and is_revision(revision):
        name = f"{recipe.model}@{revision}" if revision else recipe.model
        items.append(Item("weights", name, ({key: env[key] for key in WAY_TO_HUB if key in env},)))
    return tuple(items)


def needed_by(pools: Iterable[Pool], *, image: str, base_folder: Path) -> set[Item]:
    """All that workers of these pools may need now: of each what it is, and what it is on its way from and to."""
    found: list[Item] = []
    for pool in pools:
        rollout: Rollout | None = getattr(pool, "rollout", None)
        revisions: list[PoolRevision | None] = [rollout.current, rollout.target] if rollout else []
        for recipe in (pool, *revisions):
            if recipe is not None:
                found += needed(recipe, image=image, base_folder=base_folder)
    return merged(found)


def _mapping(value: object) -> Mapping[str, object]:
    """Staff may have stored anything as JSON; the start says what is wrong with it."""
    return value if isinstance(value, dict) else {}


def _is_fetched(recipe: Recipe, env: Mapping[str, str], base_folder: Path) -> bool:
    if not HUB_ID.match(recipe.model) or model_folder(recipe.model, base_folder):
        return False
    offline = env.get(OFFLINE, os.environ.get(OFFLINE, ""))
    own = any(name in env for name in OWN_CACHE) or "download_dir" in _mapping(recipe.engine_args)
    return offline.lower() not in _TRUE and not own
