"""Tasks that embed texts: what they may be. Pure.

The engines' names are those of `orchestrator.recipe_models.Recipe.Engine`. An engine refuses by itself what it cannot do; here that
is said before anything is accepted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agents.problems import bad_field

TEXTS_MAX = 256
"""Texts of one task: their vectors are one answer, which passes through the queue as a whole."""

EMBEDDING, SIMULATED = "embedding", "simulated"


def require_embedding(engine: str, *, field: str) -> None:
    """Refuse, by that field's name, a pool whose engine gives no vectors."""
    if engine not in (EMBEDDING, SIMULATED):
        raise bad_field(
            field,
            f"its pool's engine ({engine}) embeds no texts; name a pool of the engine {EMBEDDING}, or an agent on one",
        )


def require_generating(engine: str, *, field: str) -> None:
    """Refuse, by that field's name, a pool whose engine only embeds."""
    if engine == EMBEDDING:
        raise bad_field(field, "its pool embeds texts and generates none; embed by POST /v1/embeddings")


def checked_texts(texts: Sequence[Any], *, field: str) -> list[str]:
    """Texts that a task may have, or a problem that names the one that does not fit."""
    if not 0 < len(texts) <= TEXTS_MAX:
        raise bad_field(field, f"must be 1 to {TEXTS_MAX} texts, not {len(texts)}")
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise bad_field(f"{field}[{index}]", "token ids are not supported here; send the text")
        if not text.strip():
            raise bad_field(f"{field}[{index}]", "must not be empty")
    return list(texts)
