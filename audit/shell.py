"""What somebody does by `manage.py` on a server stands in the audit log as what the console's forms do."""

from __future__ import annotations

import getpass
import json
from collections.abc import Sequence
from functools import partial
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

OF_THE_SERVICE = frozenset({"serve", "orchestrate", "record", "effects", "up", "demo", "migrate"})
"""Commands that are the service itself: what they write is its own doing. `demo` keeps nothing."""
KIND = "shell"
"""`Entry.ActorKind.SHELL`, which cannot be imported before Django is set up."""


def note_command(argv: Sequence[str]) -> None:
    """Whatever this process writes is its user's doing, if the command line is one that a person gives.

    The user is the operating system's: a shell knows no other. In a container that is mostly `root`.
    """
    command = argv[1] if len(argv) > 1 else ""
    if not command or command.startswith("-") or command in OF_THE_SERVICE:
        return
    told = json.dumps({"kind": KIND, "actor": f"{_user()}: manage.py {command}"[:200], "address": None})
    connection_created.connect(partial(_tell, told), weak=False, dispatch_uid="audit.shell")


def _tell(told: str, /, *, connection: BaseDatabaseWrapper, **_: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('opsite.acting', %s, false)", [told])


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "nobody known"
