"""What a process of the service is, by the command that started it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

ROLES = {
    "serve": "web",
    "orchestrate": "orchestrator",
    "record": "recorder",
    "effects": "effects",
    "up": "service",
    "demo": "service",
}
"""Management commands that stay; any other one is called by its own name."""


def role_of(arguments: Sequence[str]) -> str:
    """The role by `sys.argv`: that of `manage.py <command>`, else the name of what was started (`celery`, an ASGI server)."""
    program = PurePath(arguments[0]) if arguments else PurePath()
    name = program.parent.name if program.name == "__main__.py" else program.stem
    if name == "manage" and len(arguments) > 1:
        return ROLES.get(arguments[1], arguments[1])
    return name or "python"
