"""Validators of the models' fields: what a form, or `full_clean`, says of a value that the orchestrator could not read."""

from __future__ import annotations

from collections.abc import Callable

from django.core.exceptions import ValidationError

from orchestrator.policies.schedule import BadSchedule, parse, zone_of
from orchestrator.recipe_fields import BadField, engine_args_of, env_of, mounts_of, params_of


def valid_schedule(rows: object) -> None:
    """A field validator."""
    try:
        parse(rows)
    except BadSchedule as error:
        raise ValidationError(str(error)) from None


def valid_zone(name: str) -> None:
    """A field validator."""
    try:
        zone_of(name)
    except BadSchedule as error:
        raise ValidationError(str(error)) from None


def valid_env(value: object) -> None:
    """A field validator."""
    _valid(env_of, value)


def valid_mounts(value: object) -> None:
    """A field validator."""
    _valid(mounts_of, value)


def valid_engine_args(value: object) -> None:
    """A field validator."""
    _valid(engine_args_of, value)


def valid_params(value: object) -> None:
    """A field validator."""
    _valid(params_of, value)


def _valid(read: Callable[[object], object], value: object) -> None:
    try:
        read(value)
    except BadField as error:
        raise ValidationError(str(error)) from None
