"""The engine's stream of messages about an image pull, as bytes that are here of all, and as a sentence now and then. Pure.

The engine names all layers soon, but tells a layer's size only when it downloads it, three at a time. Until all are known, one
that is not counts as much as the others on average; so the percentage does not begin near 100 with the first small layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

STEP_PERCENT = 5
MIB = 1 << 20


class PullProgress:
    """Adds up the layers; says something new only every few percent."""

    def __init__(self) -> None:
        self._layers: dict[str, tuple[int, int] | None] = {}
        self._last = -STEP_PERCENT

    @property
    def done(self) -> int:
        """Bytes that are here."""
        return sum(layer[0] for layer in self._layers.values() if layer)

    @property
    def total(self) -> int:
        """Bytes of all layers that are not here from before; guessed for those whose size is not known yet."""
        known = [layer[1] for layer in self._layers.values() if layer]
        return sum(known) * len(self._layers) // len(known) if known else 0

    def hear(self, message: Mapping[str, Any]) -> bool:
        """Take in one message; whether the figures have changed."""
        layer, detail = message.get("id"), message.get("progressDetail") or {}
        status = str(message.get("status", ""))
        if not layer:
            return False
        if status == "Downloading" and detail.get("total"):
            self._layers[layer] = (int(detail.get("current", 0)), int(detail["total"]))
        elif status == "Pulling fs layer":
            self._layers.setdefault(layer, None)
        elif status in ("Download complete", "Pull complete") and (known := self._layers.get(layer)):
            self._layers[layer] = (known[1], known[1])
        else:
            return False
        return True

    def told(self, message: Mapping[str, Any]) -> str | None:
        """What to show after this message; None when it is not worth a word."""
        if not self.hear(message) or not (total := self.total):
            return None
        percent = 100 * self.done // total
        if percent < self._last + STEP_PERCENT and not (percent == 100 and self._last < 100):
            return None
        self._last = percent
        return f"{percent}% of {total / MIB:.0f} MiB"
