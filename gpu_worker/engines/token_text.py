"""What single tokens are as text, and their log probabilities in OpenAI's form (llguidance's view of a tokenizer)."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable
from typing import Any

from llguidance import LLTokenizer

from taskqueue.messages import Candidate, TokenLogprob


def tokens_of(tokenizer: Any, *, vocabulary: int, end_ids: Collection[int]) -> LLTokenizer:
    """The tokenizer of a model with so many tokens, as llguidance sees it. Raises `ValueError` where it has no fast form."""
    from llguidance.hf import (
        from_tokenizer,  # brings transformers: vLLM is to load that itself, once its settings stand
    )

    return from_tokenizer(tokenizer, n_vocab=max(vocabulary, len(tokenizer)), eos_token=sorted(end_ids) or None)


def special_id(tokenizer: Any, tokens: LLTokenizer) -> Callable[[str], int | None]:
    """The id of a token by its text, where llguidance takes it for a special one: no other text of a grammar stands for it."""
    added = getattr(tokenizer, "added_tokens_decoder", {})
    ids = {token.content: token_id for token_id, token in added.items() if tokens.is_special_token(token_id)}
    return ids.get


def told(tokens: LLTokenizer, chosen: tuple[int, float], best: Iterable[tuple[int, float]]) -> TokenLogprob:
    """The token that was chosen and the likeliest ones, each an id with its natural logarithm of the probability.

    What has no probability at all (an output form does not allow it) is left out.
    """
    top = tuple(_candidate(tokens, *one) for one in best if math.isfinite(one[1]))
    one = _candidate(tokens, *chosen)
    return TokenLogprob(token=one.token, logprob=one.logprob, bytes=one.bytes, top_logprobs=top)


def _candidate(tokens: LLTokenizer, token_id: int, logprob: float) -> Candidate:
    raw = tokens.decode_bytes([token_id])
    return Candidate(token=raw.decode(errors="replace"), logprob=logprob, bytes=tuple(raw))
