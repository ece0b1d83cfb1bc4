"""The engine's stream of messages about an image pull, as a sentence now and then. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

STEP_PERCENT = 5
MIB = 1 << 20


class PullProgress:
    """Adds up the layers; says something new only every few percent."""

    def __init__(self) -> None:
        self._layers: dict[str, tuple[int, int]] = {}
        self._last = -STEP_PERCENT

    def told(self, message: Mapping[str, Any]) -> str | None:
        """What to show after this message; None when it is not worth a word."""
        layer, detail = message.get("id"), message.get("progressDetail") or {}
        status = str(message.get("status", ""))
        if layer and status == "Downloading" and detail.get("total"):
            self._layers[layer] = (int(detail.get("current", 0)), int(detail["total"]))
        elif layer and status in ("Download complete", "Pull complete") and layer in self._layers:
            total = self._layers[layer][1]
            self._layers[layer] = (total, total)
        else:
            return None
        done = sum(current for current, _ in self._layers.values())
        total = sum(size for _, size in self._layers.values())
        percent = 100 * done // total if total else 0
        if percent < self._last + STEP_PERCENT and not (percent == 100 and self._last < 100):
            return None
        self._last = percent
        return f"{percent}% of {total / MIB:.0f} MiB"
