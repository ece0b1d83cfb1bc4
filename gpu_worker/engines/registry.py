"""Engines by name, imported only when asked for: torch and vLLM need not be installed to run another engine."""

from __future__ import annotations

import importlib
from typing import cast

from gpu_worker.engines import Engine
from gpu_worker.failures import EngineCannotStart
from gpu_worker.settings import Settings

ENGINES = {
    "embedding": "gpu_worker.engines.embedding:EmbeddingEngine",
    "scripted": "gpu_worker.engines.scripted:ScriptedEngine",
    "simulated": "gpu_worker.engines.simulated:SimulatedEngine",
    "transformers": "gpu_worker.engines.transformers:TransformersEngine",
    "vllm": "gpu_worker.engines.vllm:VllmEngine",
}
"""Name to `module:class`; the class takes the worker's settings."""


def make_engine(settings: Settings) -> Engine:
    """The engine that the settings name. Raises `EngineCannotStart` or `BadSetting`."""
    try:
        module, _, name = ENGINES[settings.engine].partition(":")
    except KeyError:
        known = ", ".join(sorted(ENGINES))
        raise EngineCannotStart(
            f"there is no engine {settings.engine!r}; OPSITE_ENGINE takes one of: {known}"
        ) from None
    try:
        engine = getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise EngineCannotStart(f"engine {settings.engine!r} is not installed here: {error}") from error
    return cast("Engine", engine(settings))
