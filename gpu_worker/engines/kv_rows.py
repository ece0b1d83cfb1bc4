"""Keys and values of a running batch: one row per sequence, rows kept dense so that every step works on views.

Rows 0..n-1 are in use. A sequence that leaves is overwritten by the last one. The buffers grow by doubling and are
never larger than slots x context. A transformers model uses them through its ordinary `Cache` interface.

A row belongs to one sequence, which writes it from its first position on: no prefix is shared, between tenants or otherwise,
and what an earlier sequence left in the row lies behind the mask.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

FIRST_CAPACITY = 256


@dataclass(slots=True)
class Window:
    """Where the present forward pass reads and writes: rows `first` to `last`, keys up to `length`.

    Prefill writes `start` and the positions behind it for all rows alike; decoding (`start` is None) writes each row at
    its own place in `at`.
    """

    first: int = 0
    last: int = 0
    length: int = 0
    start: int | None = 0
    at: Tensor | None = None

    def prefill(self, *, first: int, last: int, start: int, length: int) -> None:
        """The next pass writes positions `start` to `length` of these rows."""
        self.first, self.last, self.start, self.length, self.at = first, last, start, length, None

    def decode(self, *, last: int, at: Tensor, length: int) -> None:
        """The next pass writes one position of each of the first `last` rows."""
        self.first, self.last, self.start, self.length, self.at = 0, last, None, length, at


class RowLayer(CacheLayerMixin):  # type: ignore[no-untyped-call]
    """One layer's keys and values. Buffers are made at the first use, when the model shows its shapes."""

    is_sliding = False
    keys: Tensor
    values: Tensor

    def __init__(self, window: Window, slots: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._window = window
        self._slots = slots
        self.capacity = FIRST_CAPACITY

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.keys = self._buffer(key_states)
        self.values = self._buffer(value_states)
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Write the new keys and values, return all of the window's rows."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        window = self._window
        rows = slice(window.first, window.last)
        if window.start is None:
            row = torch.arange(window.first, window.last, device=key_states.device)
            self.keys[row, :, window.at] = key_states[:, :, 0]
            self.values[row, :, window.at] = value_states[:, :, 0]
        else:
            columns = slice(window.start, window.start + key_states.shape[2])
            self.keys[rows, :, columns] = key_states
            self.values[rows, :, columns] = value_states
        return self.keys[rows, :, : window.length], self.values[rows, :, : window.length]

    def grow(self, capacity: int) -> None:
        """Make room for `capacity` positions per row."""
        self.capacity = capacity
        if self.is_initialized:
            self.keys = self._copied(self.keys)
            self.values = self._copied(self.values)

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` positions of one row over another."""
        if self.is_initialized:
            self.keys[target, :, :length] = self.keys[source, :, :length]
            self.values[target, :, :length] = self.values[source, :, :length]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self._window.length, 0

    def get_seq_length(self) -> int:
        return self._window.start or 0

    def get_max_length(self) -> int:
        return -1

    def _buffer(self, states: Tensor) -> Tensor:
        _, heads, _, width = states.shape
        return torch.zeros(self._slots, heads, self.capacity, width, dtype=states.dtype, device=states.device)

    def _copied(self, old: Tensor) -> Tensor:
        new = self._buffer(old)
        new[:, :, : old.shape[2]] = old
        return new


class RowCache(Cache):
    """The rows of all layers."""

    def __init__(self, *, layers: int, slots: int, context: int) -> None:
        self.window = Window()
        self._context = context
        self._capacity = FIRST_CAPACITY
        self._rows = [RowLayer(self.window, slots) for _ in range(layers)]
        super().__init__(layers=list(self._rows))

    def reserve(self, length: int) -> None:
        """Make sure that rows hold `length` positions."""
        if length > self._capacity:
            while self._capacity < length:
                self._capacity *= 2
            self._capacity = max(length, min(self._capacity, self._context))
            for layer in self._rows:
                layer.grow(self._capacity)

    def move(self, source: int, target: int, length: int) -> None:
        """Put the sequence of one row into another row."""
        for layer in self._rows:
            layer.move(source, target, length)
