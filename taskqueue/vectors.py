"""The answer to a turn that embeds: a JSON list with one string per text, in the order of the texts. Pure.

Each string is the base64 form (RFC 4648, padded) of the vector's components as IEEE 754 single precision, little-endian: what
OpenAI's API gives for `encoding_format` `base64`. So an answer is text as any other, a third longer than the numbers themselves.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterable, Sequence

import msgspec

WHOLE = 0
"""The token id that goes out with such an answer. It is no word: an attempt that finds it knows that the answer is there."""

COMPONENT_BYTES = 4


class BadVectors(ValueError):
    """This text is no answer to a turn that embeds."""


def encoded(vectors: Iterable[Sequence[float]]) -> str:
    """Vectors as an answer's text."""
    return msgspec.json.encode([_base64(vector) for vector in vectors]).decode()


def strings(answer: str) -> list[str]:
    """The vectors of an answer, each still in base64. Raises `BadVectors`."""
    try:
        return msgspec.json.decode(answer, type=list[str])
    except msgspec.DecodeError as error:
        raise BadVectors(f"no list of strings: {error}") from error


def decoded(vector: str) -> list[float]:
    """One vector's components. Raises `BadVectors`."""
    try:
        raw = base64.b64decode(vector, validate=True)
        return list(struct.unpack(f"<{len(raw) // COMPONENT_BYTES}f", raw))
    except (ValueError, struct.error) as error:
        raise BadVectors(f"not in base64, or no whole number of components: {error}") from error


def _base64(vector: Sequence[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
