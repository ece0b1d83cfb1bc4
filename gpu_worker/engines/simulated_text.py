"""What the simulated engine says: a pure function of prompt and position, so that any stream can be checked exactly.

A token is an index into `WORDS`; its text is that word behind a space. The answer to a prompt never depends on batch,
worker or attempt, so a continuation on another worker must give the very text of an undisturbed run.
"""

from __future__ import annotations

import hashlib
import math
import zlib
from collections.abc import Sequence
from typing import Literal, NamedTuple

from gpu_worker.detokenize import StopStrings
from taskqueue.messages import TurnBody

_VOCABULARY = (
    "the a one some every no this that "
    "queue worker token answer prompt lease turn task "
    "waits runs streams ends starts moves grows rests "
    "slowly quickly fairly twice once again never always "
    "and or but then while until because so "
    "north south east west here there above below "
    "red green blue white black grey gold pale "
    "rain wind stone river light night winter spring"
)
WORDS = tuple(_VOCABULARY.split())


class Said(NamedTuple):
    """A whole undisturbed answer."""

    text: str
    token_ids: tuple[int, ...]
    finish_reason: Literal["stop", "length"]


def prompt_text(body: TurnBody) -> str:
    """The prompt as the simulated engine reads it: roles and contents, one message to a line, and the calls in it."""
    if body.embed:
        return "\n".join(body.embed)
    if body.prompt is not None:
        return body.prompt
    return "\n".join(
        " ".join(
            (f"{message.role}: {message.content}", *(f"{call.name}({call.arguments})" for call in message.tool_calls))
        )
        for message in body.messages
    )


def vector_of(text: str, dimensions: int) -> list[float]:
    """What the simulated engine gives for an embedding: a unit vector that is the same for the same words, whatever their order.

    Each word has a pseudo-random direction (from SHAKE-128), and the vector is their sum's: texts with words in common are near
    each other. No model is behind it.
    """
    sums = [0] * dimensions
    for word in text.lower().split() or [""]:
        for place, byte in enumerate(hashlib.shake_128(word.encode()).digest(dimensions)):
            sums[place] += 2 * byte - 255
    length = math.sqrt(sum(component * component for component in sums)) or 1.0
    return [component / length for component in sums]


def prompt_tokens(prompt: str) -> int:
    """The prompt's length: its words."""
    return len(prompt.split())


def key_of(prompt: str) -> int:
    """The number that a prompt's answer is derived from."""
    return zlib.crc32(prompt.encode())


def token_at(key: int, position: int) -> int:
    """The token at a position of the answer (a multiplicative hash of key and position)."""
    mixed = ((key ^ (position * 0x9E3779B1)) * 0x85EBCA6B) & 0xFFFFFFFF
    return (mixed >> 16) % len(WORDS)


def text_of(token_ids: Sequence[int]) -> str:
    """Tokens as text."""
    return "".join(f" {WORDS[token_id % len(WORDS)]}" for token_id in token_ids)


def answer_length(body: TurnBody, answer_tokens: int | None) -> tuple[int, Literal["stop", "length"]]:
    """How many tokens the answer has, stop strings aside, and why it ends there."""
    wanted = body.params.max_tokens
    if answer_tokens is None or answer_tokens >= wanted or body.params.ignore_eos:
        return wanted, "length"
    return answer_tokens, "stop"


def whole_answer(body: TurnBody, *, answer_tokens: int | None = None) -> Said:
    """The answer of an undisturbed run; `answer_tokens` as in the engine's arguments."""
    key = key_of(prompt_text(body))
    length, reason = answer_length(body, answer_tokens)
    stops = StopStrings(body.params.stop)
    ids: list[int] = []
    text = ""
    for position in range(length):
        ids.append(token_at(key, position))
        piece, stopped = stops.push(text_of(ids[-1:]))
        text += piece
        if stopped:
            return Said(text, tuple(ids), "stop")
    return Said(text + stops.flush(), tuple(ids), reason)
