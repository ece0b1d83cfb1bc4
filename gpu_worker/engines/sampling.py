"""Choosing the next token of every sequence of a batch, each by its own parameters.

The random number of a choice is a hash of the turn's seed and the position, not the next draw of a generator: it does
not depend on the batch around a sequence, and a worker that takes a turn over draws what the first would have drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

import torch
from torch import Tensor

from taskqueue.messages import SamplingParams


@dataclass(frozen=True, slots=True)
class Sampler:
    """How one sequence is sampled. `seed` is any text that names its randomness."""

    temperature: float
    top_p: float
    top_k: int
    seed: str

    @classmethod
    def of(cls, params: SamplingParams, *, turn: str) -> Sampler:
        """Without a seed the turn's own id is one: two turns differ, two attempts of one do not."""
        seed = turn if params.seed is None else f"seed {params.seed}"
        return cls(params.temperature, params.top_p, params.top_k, seed)

    @property
    def is_greedy(self) -> bool:
        return self.temperature <= 0 or self.top_k == 1

    @property
    def is_filtered(self) -> bool:
        return self.top_p < 1 or self.top_k > 0

    def draw(self, position: int) -> float:
        """A number in [0, 1), the same for the same seed and position."""
        digest = blake2b(f"{self.seed}:{position}".encode(), digest_size=8).digest()
        return (int.from_bytes(digest, "little") >> 11) / (1 << 53)


class Likelihoods(NamedTuple):
    """Natural logarithms of probabilities: of the chosen token, and of the likeliest ones by their ids."""

    chosen: float
    best: list[tuple[int, float]]


def likelihoods(logits: Tensor, token_id: int, *, best: int) -> Likelihoods:
    """By the model's own probabilities, before temperature and the like (one row: vocabulary)."""
    logs = logits.float().log_softmax(dim=-1)
    values, ids = logs.topk(best)
    return Likelihoods(float(logs[token_id]), list(zip(ids.tolist(), values.tolist(), strict=True)))


def choose(logits: Tensor, samplers: Sequence[Sampler], positions: Sequence[int]) -> list[int]:
    """One token id per row of `logits` (sequences x vocabulary); `positions` are the places of these tokens."""
    chosen = logits.argmax(dim=-1)
    for filtered in (False, True):
        rows = [row for row, one in enumerate(samplers) if not one.is_greedy and one.is_filtered is filtered]
        if rows:
            draws = [samplers[row].draw(positions[row]) for row in rows]
            mine = [samplers[row] for row in rows]
            index = torch.tensor(rows, device=logits.device)
            chosen[index] = _sample(logits[index].float(), mine, draws, filtered=filtered)
    return [int(token_id) for token_id in chosen.tolist()]


def _sample(logits: Tensor, samplers: Sequence[Sampler], draws: Sequence[float], *, filtered: bool) -> Tensor:
    def column(values: Sequence[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float64, device=logits.device).unsqueeze(1)

    scaled = logits.double() / column([one.temperature for one in samplers])
    order: Tensor | None = None
    if filtered:
        scaled, order = scaled.sort(dim=-1, descending=True, stable=True)
    weights = scaled.softmax(dim=-1)
    if filtered:
        rank = torch.arange(weights.shape[-1], device=logits.device).unsqueeze(0)
        weights = weights * (rank < column([one.top_k or weights.shape[-1] for one in samplers]))
        weights = weights / weights.sum(dim=-1, keepdim=True)
        before = weights.cumsum(dim=-1) - weights
        weights = weights * ((before < column([one.top_p for one in samplers])) | (rank == 0))
    reached = weights.cumsum(dim=-1)
    place = torch.searchsorted(reached, column(draws) * reached[:, -1:], right=True)
    # Rounding may land behind the last token that has any weight.
    last = (weights > 0).long().mul(torch.arange(weights.shape[-1], device=logits.device)).argmax(dim=-1, keepdim=True)
    place = torch.minimum(place, last)
    return (place if order is None else order.gather(-1, place)).squeeze(1)
