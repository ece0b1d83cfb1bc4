"""Which of several revisions a task gets: by a hash, so that the same key always gets the same one. Pure.

A key falls into one of 100 buckets, and the shares lie side by side over them, the earliest revision first. So a split that gives
a later revision more moves only the keys of the buckets that it gains, and nobody back and forth (as in Kohavi et al., "Online
Controlled Experiments at Large Scale", KDD 2013). The agent is part of what is hashed: whoever gets the new revision of one agent
is not thereby the one who gets that of all others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

WHOLE = 100
_BITS = 64


def bucket(agent: str, key: str) -> int:
    """0 to 99, evenly over all keys."""
    digest = hashlib.blake2b(f"{agent}\n{key}".encode(), digest_size=_BITS // 8).digest()
    return int.from_bytes(digest) * WHOLE >> _BITS


def chosen(percents: Sequence[int], at: int) -> int:
    """The index of the share that the bucket lies in. `percents` sum to 100."""
    passed = 0
    for index, percent in enumerate(percents):
        passed += percent
        if at < passed:
            return index
    raise ValueError(f"shares that sum to {passed} leave bucket {at} to nobody")
