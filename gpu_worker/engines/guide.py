"""Guided decoding: which tokens may come next in an answer that must have a form (llguidance, for the `transformers` engine).

Where a guide stands depends on the ids of the answer alone. So a worker that takes a turn over feeds the streamed ids into a fresh
guide, and goes on exactly where the first one stood.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from llguidance import LLMatcher, LLParserLimits, LLTokenizer
from torch import Tensor

from gpu_worker.engines.prompting import PromptRefused
from taskqueue.messages import INVALID_OUTPUT, TaskError

LEXER_STATES = 25_000
"""Of one form, some 1 to 2 kB each: a regular expression may ask for very many."""


class GuideFailed(Exception):
    """The form is too complex to go on by."""


class Guide:
    """The form's grammar at one place of one answer. Not thread-safe."""

    def __init__(self, matcher: LLMatcher) -> None:
        self._matcher = matcher

    @property
    def is_complete(self) -> bool:
        """Whether the form is complete, and nothing more may follow."""
        return self._matcher.is_stopped() and not self._matcher.is_error()

    def allowed(self) -> Tensor:
        """Which tokens may come next: booleans, at least as many as the model has tokens. Raises `GuideFailed`."""
        bits = torch.frombuffer(bytearray(self._matcher.compute_bitmask()), dtype=torch.uint8)
        self._check()
        return ((bits.unsqueeze(1) >> torch.arange(8, dtype=torch.uint8)) & 1).bool().flatten()

    def advance(self, ids: Sequence[int]) -> None:
        """These tokens came. Raises `GuideFailed`."""
        self._matcher.consume_tokens(list(ids))
        self._check()

    def _check(self) -> None:
        if self._matcher.is_error():
            raise GuideFailed(_why(self._matcher))


def _why(matcher: LLMatcher) -> str:
    """The error's first line; what follows is the matcher's own state."""
    return matcher.get_error().partition("\n")[0]


class Guides:
    """Makes guides for one model, whose `tokens` these are."""

    def __init__(self, tokens: LLTokenizer) -> None:
        self.tokens = tokens

    def of(self, grammar: str, *, streamed: Sequence[int]) -> Guide:
        """The guide of a grammar, behind the ids that were streamed already. Raises `PromptRefused`."""
        limits = LLParserLimits(max_lexer_states=LEXER_STATES)
        matcher = LLMatcher(self.tokens, grammar, log_level=0, limits=limits)
        if matcher.is_error():
            why = f"No answer can be held to this form: {_why(matcher)}"
            raise PromptRefused(TaskError("unsupported_output", why))
        guide = Guide(matcher)
        try:
            guide.advance(streamed)
        except GuideFailed as error:
            raise PromptRefused(
                TaskError(INVALID_OUTPUT, f"What was streamed of the answer already does not have its form: {error}")
            ) from error
        return guide
