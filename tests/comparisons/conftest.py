"""Real processes and a real queue, as the faces' tests have them."""

from __future__ import annotations

from tests.faces.conftest import live_scene, start, worker

__all__ = ["live_scene", "start", "worker"]
