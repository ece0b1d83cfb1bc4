"""How many messages one connection may send: a bucket of `burst` that refills at `per_s`. Pure: the caller brings the time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Allowance:
    """`left` messages were free at the moment `at` (seconds of a monotonic clock)."""

    per_s: float
    burst: float
    left: float
    at: float

    @classmethod
    def full(cls, *, per_s: float, burst: float, now: float) -> Allowance:
        """A connection that has said nothing yet."""
        return cls(per_s, burst, burst, now)

    def take(self, now: float) -> bool:
        """One message; False if it is one too many."""
        self.left = min(self.burst, self.left + (now - self.at) * self.per_s)
        self.at = now
        if self.left < 1:
            return False
        self.left -= 1
        return True
