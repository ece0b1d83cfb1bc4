"""What of a worker's settings nobody is shown: values whose names say that they are secret, wherever they turn up. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

HIDDEN = "•••"
SHORTEST = 6
"""A value that is shorter is looked for in no log: it would be found in half of all words."""
_SECRET = re.compile(r"(token|key|secret|password|passwd|credentials?|auth)(_|$)", re.IGNORECASE)
"""At the end of a word of a name: `HF_TOKEN`, and not `tokenizer` or `max_num_batched_tokens`."""


def is_secret(name: str, value: Any) -> bool:
    """Whether a setting of this name is not to be shown."""
    return isinstance(value, str) and bool(value) and bool(_SECRET.search(name))


def arguments(of: Mapping[str, Any]) -> dict[str, Any]:
    """Engine arguments as they may be shown."""
    return {name: HIDDEN if is_secret(name, value) else value for name, value in of.items()}


def lines(those: Iterable[str], *, env: Mapping[str, Any], engine_args: Mapping[str, Any]) -> list[str]:
    """Log lines without the secrets that the worker was given."""
    given = [(name, value) for settings in (env, engine_args) for name, value in settings.items()]
    secrets = [value for name, value in given if is_secret(name, value) and len(value) >= SHORTEST]
    if not secrets:
        return list(those)
    found = re.compile("|".join(re.escape(secret) for secret in sorted(secrets, key=len, reverse=True)))
    return [found.sub(HIDDEN, line) for line in those]
