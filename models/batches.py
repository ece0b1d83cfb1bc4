"""Turns plays and chats into token blocks with labels, packed without padding."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer

from models.chat_pairs import Message, Topics, make_chat
from models.corpus import Scene, as_text
from models.tokenizer import ASSISTANT, END, SYSTEM, USER

IGNORE = -100
"""The label of a token that is read but not learned: requests, and the first token of a document."""

CHAT_SHARE = 0.55
"""Of all tokens, those in chats; the rest is plain text of the plays."""

Document = tuple[list[int], list[int]]
"""Token ids and their labels, one for one."""


@dataclass(frozen=True)
class Source:
    """Scenes, and what is needed to make documents of them."""

    tokenizer: Tokenizer
    scenes: tuple[Scene, ...]
    topics: Topics

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text).ids
        return ids

    def chat(self, rng: random.Random) -> Document:
        """A conversation as the chat template renders it; only what the assistant says is learned."""
        return self.render(make_chat(scenes=self.scenes, topics=self.topics, rng=rng))

    def render(self, messages: Sequence[Message]) -> Document:
        marks = {"system": SYSTEM, "user": USER, "assistant": ASSISTANT}
        ids: list[int] = []
        labels: list[int] = []
        for message in messages:
            head = self.encode(marks[message["role"]])
            body = self.encode(message["content"].strip() + END)
            ids += head + body
            labels += [IGNORE] * len(head) + (body if message["role"] == "assistant" else [IGNORE] * len(body))
        return ids, labels

    def plain(self) -> list[list[int]]:
        """Each scene as token ids."""
        return [self.encode(as_text(scene)) for scene in self.scenes]


def documents(source: Source, rng: random.Random) -> Iterator[Document]:
    """Without end: every epoch all plain text once, cut at new places, with fresh chats between."""
    scenes = source.plain()
    chat_tokens = plain_tokens = 0
    while True:
        pieces: list[list[int]] = []
        for scene in scenes:
            at = 0
            while at < len(scene):
                size = rng.randint(100, 1200)
                pieces.append(scene[at : at + size])
                at += size
        rng.shuffle(pieces)
        for piece in pieces:
            yield piece, [IGNORE, *piece[1:]]
            plain_tokens += len(piece)
            while chat_tokens < plain_tokens * CHAT_SHARE / (1 - CHAT_SHARE):
                chat = source.chat(rng)
                chat_tokens += len(chat[0])
                yield chat


class Packer:
    """Fills blocks of any asked size from a stream of documents."""

    def __init__(self, stream: Iterator[Document]) -> None:
        self._stream = stream
        self._ids: list[int] = []
        self._labels: list[int] = []

    def batch(self, *, rows: int, length: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs and the labels of their next tokens, both of shape (rows, length)."""
        need = rows * (length + 1)
        while len(self._ids) < need:
            ids, labels = next(self._stream)
            self._ids += ids
            self._labels += labels
        ids_block = torch.tensor(self._ids[:need]).view(rows, length + 1)
        labels_block = torch.tensor(self._labels[:need]).view(rows, length + 1)
        self._ids, self._labels = self._ids[need:], self._labels[need:]
        return ids_block[:, :-1].contiguous(), labels_block[:, 1:].contiguous()
