"""The JSON of a recipe as what it must be: environment, mounts, engine arguments, sampling parameters. Pure.

Staff may store any JSON past the console's forms; so whoever reads it asks here, and the forms ask the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

REVISION_LENGTH = 255
"""Of a branch, a tag or a commit: git itself takes no longer ones."""


class BadField(Exception):
    """A field's JSON is not of its form: the message says which one, and what is expected there."""


def env_of(value: object) -> dict[str, str]:
    """The environment of a worker. Raises `BadField`."""
    env = _object("env", value)
    if bad := [name for name, one in env.items() if not isinstance(one, str | int | float)]:
        raise BadField(f"env: {bad[0]} is a text or a number, not {_kind(env[bad[0]])}.")
    return {name: str(one) for name, one in env.items()}


def mounts_of(value: object) -> list[str]:
    """Folders of the engine's host. Raises `BadField`."""
    if not isinstance(value, list):
        raise BadField(f'mounts is a list of folders, ["/srv/models"], not {_kind(value)}.')
    if bad := [mount for mount in value if not isinstance(mount, str) or not mount.startswith("/")]:
        raise BadField(f"mounts {bad[0]!r}: mounts are absolute paths of the engine's host.")
    return list(value)


def engine_args_of(value: object) -> dict[str, Any]:
    """What the engine is told. Raises `BadField`."""
    args = _object("engine_args", value)
    if not is_revision(args.get("revision")):
        raise BadField(f"engine_args: revision is a name of {REVISION_LENGTH} characters at most.")
    return dict(args)


def params_of(value: object) -> dict[str, Any]:
    """Sampling parameters. Raises `BadField`."""
    return dict(_object("default_params", value))


def is_revision(value: object) -> bool:
    """Whether a hub may know a revision of that name; None and empty: its newest."""
    return not value or (isinstance(value, str) and len(value) <= REVISION_LENGTH)


def _object(field: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise BadField(f'{field} is an object, {{"name": "value"}}, not {_kind(value)}.')
    return value


def _kind(value: object) -> str:
    names = {list: "a list", dict: "an object", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
