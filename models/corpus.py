"""Reads the plays as speeches, and holds some of them back for validation."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

CORPUS = Path(__file__).parent / "tinyshakespeare.txt"

BLOCK_SPEECHES = 40
"""Speeches in one block of the split: long enough to keep a scene together."""
HOLD_OUT_EVERY = 20
"""One block of so many is held back: 5 % of the text, spread over all plays."""

_WORD = re.compile(r"[a-z]+(?:'[a-z]+)*")


@dataclass(frozen=True)
class Speech:
    """What one character says, without a break."""

    name: str
    text: str

    def __str__(self) -> str:
        return f"{self.name}:\n{self.text}"


Scene = tuple[Speech, ...]
"""Consecutive speeches; nothing that is trained on crosses the end of one."""


@dataclass(frozen=True)
class Split:
    """The corpus as scenes to learn from and scenes that are only measured."""

    train: tuple[Scene, ...]
    held_out: tuple[Scene, ...]


def words(text: str) -> list[str]:
    """The words of a text in lower case, apostrophes kept inside."""
    return _WORD.findall(text.lower().replace("\u2019", "'"))


def read_speeches(path: Path = CORPUS) -> list[Speech]:
    """All speeches in order. Text between blank lines without a `NAME:` line belongs to the speech before it."""
    speeches: list[Speech] = []
    for paragraph in path.read_text(encoding="utf-8").split("\n\n"):
        head, _, body = paragraph.strip("\n").partition("\n")
        if head.endswith(":") and body:
            speeches.append(Speech(name=head[:-1], text=body))
        elif paragraph.strip() and speeches:
            last = speeches.pop()
            speeches.append(Speech(name=last.name, text=f"{last.text}\n{paragraph.strip()}"))
    return speeches


def split(speeches: list[Speech]) -> Split:
    """Hold back every twentieth block; runs of blocks between two of these stay whole."""
    train: list[Scene] = []
    held_out: list[Scene] = []
    run: list[Speech] = []
    for number, start in enumerate(range(0, len(speeches), BLOCK_SPEECHES)):
        block = speeches[start : start + BLOCK_SPEECHES]
        if number % HOLD_OUT_EVERY == HOLD_OUT_EVERY // 2:
            held_out.append(tuple(block))
            train.append(tuple(run))
            run = []
        else:
            run.extend(block)
    if run:
        train.append(tuple(run))
    return Split(train=tuple(train), held_out=tuple(held_out))


def as_text(scene: Scene) -> str:
    """A scene as it stands in the corpus."""
    return "\n\n".join(str(speech) for speech in scene) + "\n\n"
