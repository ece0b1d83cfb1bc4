"""What each role may do with each model: one table, from which Django's permissions follow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from staff.models import StaffRole

Role = StaffRole.Role

LOOK: Final = frozenset({"view"})
MAKE: Final = LOOK | {"add", "change"}
ALL: Final = MAKE | {"delete"}

OPERATORS_ONLY: Final = frozenset(
    {"account", "admin", "auth", "contenttypes", "mfa", "sessions", "socialaccount", "staff"}
)
"""Packages that hold accounts, passwords and second factors: viewers do not see them either."""

OF_TENANT_ADMINISTRATORS: Final[Mapping[str, frozenset[str]]] = {
    "tenants.tenant": LOOK,
    "tenants.apikey": MAKE,
    "tenants.secret": ALL,
    "agents.agent": MAKE,
    "agents.agentrevision": LOOK,
    "agents.publication": LOOK,
    "agents.trafficshare": LOOK,
    "agents.tool": ALL,
    "agents.mcpserver": ALL,
    "agents.toolcall": LOOK | {"change"},  # answer what an agent asks a person
    "agents.conversation": LOOK,
    "agents.message": LOOK,
    "agents.summary": LOOK,
    "agents.task": LOOK | {"change"},  # cancel, run again
    "agents.turn": LOOK,
    "webhooks.endpoint": ALL,
    "webhooks.delivery": LOOK,
    "webhooks.attempt": LOOK,
    "batches.batch": LOOK | {"change"},  # cancel
    "batches.file": LOOK,
    "schedules.schedule": LOOK | {"change"},  # pause, resume
    "schedules.firing": LOOK,
    "comparisons.inputset": LOOK,
    "comparisons.comparison": LOOK,
    "comparisons.comparisonrun": LOOK,
    "knowledge.collection": LOOK | {"delete"},
    "knowledge.document": ALL,
    "audit.entry": LOOK,
    "billing.budget": LOOK,
    "billing.budgetnotice": LOOK,
    "billing.usagehour": LOOK,
    "billing.tenantusage": LOOK,
}
"""What a tenant administrator may do with rows of the own tenant. A model that is not named here is closed to them."""


def allows(role: str, permission: str) -> bool:
    """Whether a role has a permission of Django's, as `agents.change_task`. Whose rows it reaches is `staff.access`'s to say."""
    app, _, codename = permission.partition(".")
    verb, _, model = codename.partition("_")
    if role == Role.OPERATOR:
        return True
    if role == Role.VIEWER:
        return verb == "view" and app not in OPERATORS_ONLY
    return verb in OF_TENANT_ADMINISTRATORS.get(f"{app}.{model}", frozenset())
