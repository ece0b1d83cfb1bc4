"""How much the tests of conformance try: little in every run, as much as one likes by an environment variable."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

EXAMPLES = int(os.environ.get("OPSITE_CONFORMANCE_EXAMPLES") or 3)
"""Requests that are made up for each operation: so many valid ones, and so many that are not."""
HOSTILE = max(1, EXAMPLES // 3)
"""Hostile values that are tried in each place of a request; over all places together, all of them are."""
TIMEOUT_S = 600 + 60 * EXAMPLES


class Dealt:
    """Deals values out, a few for each place: each comes up before one comes up again."""

    def __init__(self, values: Sequence[Any], few: int) -> None:
        self._values, self._few, self._begin = values, min(few, len(values)), 0

    def some(self) -> list[Any]:
        """The next few."""
        numbers = range(self._begin, self._begin + self._few)
        self._begin = numbers.stop
        return [self._values[number % len(self._values)] for number in numbers]
