"""Means and maxima over the last so many seconds of samples: what all the rivals are made of."""

from __future__ import annotations

from collections import deque


class Window:
    """Samples of the last `length_s` seconds."""

    def __init__(self, length_s: float) -> None:
        self.length_s = length_s
        self._kept: deque[tuple[float, float]] = deque()

    def add(self, at: float, value: float) -> None:
        """A sample; those that are too old go."""
        self._kept.append((at, value))
        while self._kept[0][0] <= at - self.length_s:
            self._kept.popleft()

    @property
    def mean(self) -> float:
        """Of all that are kept; 0 before the first."""
        return sum(value for _, value in self._kept) / len(self._kept) if self._kept else 0.0

    @property
    def maximum(self) -> float:
        """Of all that are kept; 0 before the first."""
        return max((value for _, value in self._kept), default=0.0)

    @property
    def growth(self) -> float:
        """Newest less oldest: what a counter grew by."""
        return self._kept[-1][1] - self._kept[0][1] if self._kept else 0.0
