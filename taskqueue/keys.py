"""Key names of a pool's queue and of a tenant's budget; the tables in docs/architecture.md say what each holds."""

from __future__ import annotations

import re

_SLUG = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_TENANT = re.compile(r"[a-z0-9-]{1,63}")


class BadPoolName(ValueError):
    """A pool's name cannot be used in keys: it takes lower-case letters, digits, '.', '_' and '-', at most 63 of them."""


def is_pool_name(pool: str) -> bool:
    """Whether a pool can be called so."""
    return _SLUG.fullmatch(pool) is not None


def prefix(pool: str) -> str:
    """The common start of a pool's keys. The braces are Redis Cluster's hash tag: all keys of a pool share a slot."""
    if not is_pool_name(pool):
        raise BadPoolName(f"pool name {pool!r}: use 1 to 63 lower-case letters, digits, '.', '_' or '-'")
    return f"opsite:{{{pool}}}:"


class BadTenantName(ValueError):
    """A tenant's id cannot be used in keys: it takes lower-case letters, digits and '-'."""


def budget(tenant: str) -> str:
    """The common start of a tenant's budget keys: a slot of its own. No pool's name has a colon, so the two never meet."""
    if not _TENANT.fullmatch(tenant):
        raise BadTenantName(f"tenant {tenant!r}: use its id")
    return f"opsite:{{tenant:{tenant}}}:"


def log(pool: str, task: str) -> str:
    """The stream of a task's events."""
    return f"{prefix(pool)}log:{task}"


def inbox(pool: str, process: str) -> str:
    """The stream of new events for one web process."""
    return f"{prefix(pool)}inbox:{process}"


def bell(pool: str) -> str:
    """The list that idle workers block on."""
    return f"{prefix(pool)}bell"


def record(pool: str) -> str:
    """The stream of changes for the recorder."""
    return f"{prefix(pool)}record"


def outlook(pool: str) -> str:
    """What the orchestrator foretells of the pool."""
    return f"{prefix(pool)}outlook"


def looked_for(worker: str) -> str:
    """Somebody looks at the worker. No pool's name has a colon, so no worker's user reaches these keys."""
    return f"opsite:{{looks:}}:for:{worker}"


def glimpse(worker: str) -> str:
    """What the orchestrator shows of it meanwhile."""
    return f"opsite:{{looks:}}:glimpse:{worker}"
