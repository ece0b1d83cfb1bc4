"""What of a worker's settings nobody is shown: values whose names say that they are secret, wherever they turn up. Pure.

What workers say is masked once, where it comes in, before it is stored, logged or shown (`orchestrator.records`,
`orchestrator.lookout`, `orchestrator.stock.weights`). Whoever reads it need not think of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

HIDDEN = "•••"
SHORTEST = 6
"""A value that is shorter is looked for in no log: it would be found in half of all words."""
_SECRET = re.compile(r"(token|key|secret|password|passwd|credentials?|auth)(_|$)", re.IGNORECASE)
"""At the end of a word of a name: `HF_TOKEN`, and not `tokenizer` or `max_num_batched_tokens`."""
_CREDENTIALS = re.compile(r"([a-z][a-z0-9+.-]*://)[^\s/@]*@", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Mask:
    """What is hidden of all that a worker says: these values, the longest first, and credentials in addresses."""

    secrets: tuple[str, ...] = ()

    def hide(self, said: str) -> str:
        """The text without them. Of one that was cut off at its beginning the rest of a secret is hidden as well."""
        if self.secrets:
            said = re.sub("|".join(re.escape(secret) for secret in self.secrets), HIDDEN, said)
            said = _without_rest(said, self.secrets)
        return _CREDENTIALS.sub(r"\1…@", said)


def mask_of(*settings: object) -> Mask:
    """What hides the secrets of these settings (environments, engine arguments), as they stand and as JSON and addresses write
    them; of a secret of several lines each line. What is no mapping has none.
    """
    found = {form for value in _secrets(settings) for form in _forms(value) if len(form) >= SHORTEST}
    return Mask(tuple(sorted(found, key=lambda form: (-len(form), form))))


def is_secret(name: str, value: Any) -> bool:
    """Whether a setting of this name is not to be shown."""
    return isinstance(value, str) and bool(value) and bool(_SECRET.search(name))


def arguments(of: Mapping[str, Any]) -> dict[str, Any]:
    """Engine arguments as they may be shown."""
    return {name: _shown(name, value) for name, value in of.items()}


def _shown(name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return arguments(value)
    if isinstance(value, list):
        return [_shown(name, one) for one in value]
    return HIDDEN if is_secret(name, value) else value


def _secrets(value: object, name: str = "") -> Iterator[str]:
    """All secret values, however deep they lie."""
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield from _secrets(one, str(key))
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _secrets(one, name)
    elif isinstance(value, str) and is_secret(name, value):
        yield value


def _forms(secret: str) -> Iterator[str]:
    yield from (secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], quote(secret, safe=""))
    yield from (line.strip() for line in secret.splitlines())


def _without_rest(said: str, secrets: Iterable[str]) -> str:
    """A log's end may begin within a secret."""
    for secret in secrets:
        for begin in range(1, len(secret) - SHORTEST + 1):
            if said.startswith(secret[begin:]):
                return HIDDEN + said[len(secret) - begin :]
    return said
