"""The same real processes as the hot routes' tests use."""

from tests.faces.conftest import live_scene, server, start, web

__all__ = ["live_scene", "server", "start", "web"]
