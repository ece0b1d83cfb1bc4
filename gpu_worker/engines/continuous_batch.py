"""Continuous batching over any full-attention causal model of transformers: sequences join and leave between steps.

A step prefills what waits, up to `prefill_tokens`, and then decodes one token for every other sequence in one forward
pass. transformers' own continuous batching was not taken because it samples without per-request seeds and cannot switch
one request to greedy; the model code that runs is the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from gpu_worker.engines.guide import Guide, GuideFailed
from gpu_worker.engines.kv_rows import RowCache
from gpu_worker.engines.sampling import Likelihoods, Sampler, choose, likelihoods


@dataclass(slots=True)
class Running:
    """A sequence: `ids` are prompt, streamed and generated ids together; the first `done` of them are in the cache."""

    id: str
    ids: list[int]
    sampler: Sampler
    prompt_length: int
    guide: Guide | None = None
    logprobs: int | None = None
    done: int = 0


class Chosen(NamedTuple):
    """The next token of a sequence. `logprobs` are its own and those of the likeliest, with their ids, where asked for."""

    id: str
    token_id: int
    logprobs: Likelihoods | None = None


class Ready(NamedTuple):
    """Sequences that get a token, and the logits of each (sequences x vocabulary)."""

    sequences: Sequence[Running]
    logits: Tensor


@dataclass(frozen=True, slots=True)
class Step:
    """What a step did. Sequences whose forward pass raised, or whose guide failed, have left the batch and stand in `failed`."""

    chosen: list[Chosen] = field(default_factory=list)
    failed: dict[str, Exception] = field(default_factory=dict)


@dataclass(slots=True)
class ContinuousBatch:
    """A model with the sequences that run on it. Not thread-safe: one thread owns it."""

    model: Any
    cache: RowCache
    slots: int
    prefill_tokens: int
    _waiting: deque[Running] = field(default_factory=deque)
    _rows: list[Running] = field(default_factory=list)
    """In the order of the cache's rows. Only the last may be half prefilled."""

    def __len__(self) -> int:
        return len(self._waiting) + len(self._rows)

    def add(self, sequence: Running) -> None:
        """The sequence joins as soon as a row is free."""
        self._waiting.append(sequence)

    @torch.inference_mode()
    def remove(self, sequence_id: str) -> bool:
        """The sequence leaves; False if it is not here."""
        for waiting in self._waiting:
            if waiting.id == sequence_id:
                self._waiting.remove(waiting)
                return True
        for row, running in enumerate(self._rows):
            if running.id == sequence_id:
                self._vacate(row)
                return True
        return False

    @torch.inference_mode()
    def step(self) -> Step:
        """One token for every sequence that is ready for one."""
        decoding = self._rows[:-1] if self._half_prefilled() else self._rows[:]
        step = Step()
        self._pass(self._prefill, self._admit(), step)
        self._pass(self._decode, decoding, step)
        return step

    # -- joining and leaving -------------------------------------------------------------------
    def _half_prefilled(self) -> bool:
        return bool(self._rows) and self._rows[-1].done < len(self._rows[-1].ids) - 1

    def _admit(self) -> list[Running]:
        """The rows to prefill now: the half prefilled one alone, or as many whole prompts as fit the budget."""
        if self._half_prefilled():
            return self._rows[-1:]
        joining: list[Running] = []
        widest = 0
        while self._waiting and len(self._rows) < self.slots:
            widest = max(widest, len(self._waiting[0].ids))
            if joining and widest * (len(joining) + 1) > self.prefill_tokens:
                break
            joining.append(self._waiting.popleft())
            self._rows.append(joining[-1])
        return joining

    def _vacate(self, row: int) -> None:
        last = len(self._rows) - 1
        if self._half_prefilled() and row < last - 1:
            self._move(last - 1, row)
            row = last - 1
        if row < last:
            self._move(last, row)
        self._rows.pop()

    def _move(self, source: int, target: int) -> None:
        self.cache.move(source, target, self._rows[source].done)
        self._rows[target] = self._rows[source]

    # -- forward passes ------------------------------------------------------------------------
    def _pass(self, forward: Callable[[Sequence[Running]], Ready], batch: Sequence[Running], step: Step) -> None:
        if not batch:
            return
        try:
            self._choose(forward(batch), step)
        except Exception as error:
            for one in batch:
                self.remove(one.id)
                step.failed[one.id] = error

    def _prefill(self, joining: Sequence[Running]) -> Ready:
        """Prompts side by side, padded on the right; a long one alone and in pieces."""
        start = joining[0].done
        width = max(len(one.ids) for one in joining) - start
        if len(joining) == 1:
            width = min(width, self.prefill_tokens)
        ends = [min(len(one.ids), start + width) for one in joining]
        tokens = [one.ids[start:end] + [0] * (start + width - end) for one, end in zip(joining, ends, strict=True)]
        self.cache.reserve(start + width)
        rows = len(self._rows)
        self.cache.window.prefill(first=rows - len(joining), last=rows, start=start, length=start + width)
        here = torch.arange(start, start + width)
        mask = torch.arange(start + width) <= here.unsqueeze(1)
        lasts = sorted({end - start - 1 for end in ends})
        logits = self._forward(tokens, here.expand(len(joining), -1), mask[None, None], torch.tensor(lasts))
        for one, end in zip(joining, ends, strict=True):
            one.done = end
        ready = [row for row, one in enumerate(joining) if one.done == len(one.ids)]
        return Ready(
            [joining[row] for row in ready], logits[ready, [lasts.index(ends[row] - start - 1) for row in ready]]
        )

    def _decode(self, decoding: Sequence[Running]) -> Ready:
        """One token further for the first rows of the cache, each at its own place."""
        at = torch.tensor([one.done for one in decoding])
        length = int(at.max()) + 1
        self.cache.reserve(length)
        self.cache.window.decode(last=len(decoding), at=at.to(self.model.device), length=length)
        mask = torch.arange(length) <= at.unsqueeze(1)
        tokens = [[one.ids[one.done]] for one in decoding]
        logits = self._forward(tokens, at.unsqueeze(1), mask[:, None, None], torch.tensor([0]))
        for one in decoding:
            one.done += 1
        return Ready(decoding, logits[:, 0])

    def _forward(self, tokens: Sequence[Sequence[int]], positions: Tensor, mask: Tensor, keep: Tensor) -> Tensor:
        device = self.model.device
        output = self.model(
            input_ids=torch.tensor(tokens, device=device),
            position_ids=positions.to(device),
            attention_mask=mask.to(device),
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=keep.to(device),
        )
        return cast("Tensor", output.logits)

    # -- choosing ------------------------------------------------------------------------------
    def _choose(self, ready: Ready, step: Step) -> None:
        """A token for each, by its own parameters and its guide. A guide that fails, fails its own sequence alone."""
        rows = [row for row, one in enumerate(ready.sequences) if self._barred(one, ready.logits[row], step)]
        if not rows:
            return
        sequences = [ready.sequences[row] for row in rows]
        logits = ready.logits if len(rows) == len(ready.sequences) else ready.logits[rows]
        places = [len(one.ids) - one.prompt_length for one in sequences]
        tokens = choose(logits, [one.sampler for one in sequences], places)
        for row, (one, token_id) in enumerate(zip(sequences, tokens, strict=True)):
            one.ids.append(token_id)
            if self._advanced(one, token_id, step):
                likely = None if one.logprobs is None else likelihoods(logits[row], token_id, best=one.logprobs)
                step.chosen.append(Chosen(one.id, token_id, likely))

    def _barred(self, one: Running, logits: Tensor, step: Step) -> bool:
        """What the guide does not allow gets no weight; false if the guide failed."""
        if one.guide:
            try:
                allowed = one.guide.allowed()[: len(logits)]
            except GuideFailed as error:
                return self._fail(one, error, step)
            logits.masked_fill_(~allowed.to(logits.device), float("-inf"))
        return True

    def _advanced(self, one: Running, token_id: int, step: Step) -> bool:
        if one.guide:
            try:
                one.guide.advance((token_id,))
            except GuideFailed as error:
                return self._fail(one, error, step)
        return True

    def _fail(self, one: Running, error: GuideFailed, step: Step) -> bool:
        self.remove(one.id)
        step.failed[one.id] = error
        return False
