"""`${secret:NAME}` in texts: what it names, the text with the values, and texts without them. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote, quote_plus

_REFERENCE = re.compile(r"\$\{secret:([^{}]*)\}")


class UnknownSecret(Exception):
    """A reference names no secret of the tenant."""

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no secret {name!r}; set it with PUT /api/v1/secrets/{name} or in the console.")
        self.name = name


def names_in(texts: Iterable[str]) -> list[str]:
    """The names of all secrets that the texts refer to, each once, in the order of the alphabet."""
    return sorted({name for text in texts for name in _REFERENCE.findall(text)})


def filled(text: str, secrets: Mapping[str, str]) -> str:
    """The text with each reference replaced by its value, once: what a value holds is not looked at. Raises UnknownSecret."""

    def value(match: re.Match[str]) -> str:
        try:
            return secrets[match[1]]
        except KeyError:
            raise UnknownSecret(match[1]) from None

    return _REFERENCE.sub(value, text)


def masked(text: str, secrets: Mapping[str, str]) -> str:
    """The text with each secret's value replaced by its reference, also where it is written as in a URL or in JSON.

    For what comes back from a call that was made with secrets: errors, results, excerpts.
    """
    written = {form: name for name, value in secrets.items() for form in _forms(value)}
    if not written:
        return text
    # The longest first: a value that begins with another must not be left with its end.
    either = re.compile("|".join(re.escape(form) for form in sorted(written, key=len, reverse=True)))
    return either.sub(lambda match: f"${{secret:{written[match[0]]}}}", text)


def _forms(value: str) -> set[str]:
    if not value:
        return set()
    in_json = (json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1])
    return {value, value.strip() or value, quote(value, safe=""), quote(value), quote_plus(value), *in_json}
