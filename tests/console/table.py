"""Who may do what in the console: every page, action and topic, in one table that `test_walk` holds the console against.

**A page, an action or a topic that is not in here fails the walk.** Who adds one adds a line:

- a `ModelAdmin`: a line in MODELS, with what an operator and what a tenant administrator may do with (own) rows by its pages;
- an action of a list (`ModelAdmin.actions`): a word in ACTIONS, in the row of its model;
- any other URL under /console/, an unfold detail action's included: a line in PAGES, by the URL's name (`console:pool`). `of` is
  the model whose row its address names, `by` the fields that stand in the address if that is not the key
  (`by="slug"`, `by="tenant.console_name,pk"`; empty where it is in the `query` only, as `{pk}`);
- a topic of the websocket: a line in TOPICS, likewise.

What the words mean for each of the walkers:

| word | GET | POST |
|---|---|---|
| NO | 403 or 404 | 403 or 404 |
| LOOK | answers | 403, 404 or 405 (but for READ_ONLY) |
| USE | answers | is not tried: it would change something |
| POST | 405 | is not tried |

Where a page takes one method only, the other one may be 405.

Whatever the table says, nobody gets past the login page without an account (but for PUBLIC pages), who has no role gets 403, and of
an object of another tenant a tenant administrator gets 403 or 404. `tenant` is the word for own objects.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

NO, LOOK, USE, POST = "no", "look", "use", "post"


@dataclass(frozen=True)
class Page:
    """One URL. `viewer` and `tenant` (an administrator, on own objects) are NO, LOOK or USE; operators may do all."""

    viewer: str
    tenant: str
    of: str = ""
    by: str = "pk"
    query: str = ""
    behind: tuple[str, ...] = ()
    """What else stands in its address, behind the object."""
    operator: str = USE


@dataclass(frozen=True)
class Model:
    """What the pages of a `ModelAdmin` let one do: words of `look add change delete`. Viewers look, unless `viewer` says NO."""

    operator: str
    tenant: str = ""
    viewer: str = LOOK


MODELS: Final = {
    "auth.user": Model("look add change", viewer=NO),
    "tenants.tenant": Model("look add change", "look"),
    "tenants.apikey": Model("look add change", "look add change"),
    "tenants.secret": Model("look add change delete", "look add change delete"),
    "orchestrator.pool": Model("look add change delete"),
    "orchestrator.scalingpolicy": Model("look add change delete"),
    "orchestrator.poolrevision": Model("look"),
    "orchestrator.rollout": Model("look"),
    "orchestrator.stockitem": Model("look"),
    "orchestrator.worker": Model("look"),
    "orchestrator.scalingdecision": Model("look"),
    "agents.agent": Model("look add change", "look add change"),
    "agents.agentrevision": Model("look", "look"),
    "agents.publication": Model("look", "look"),
    "agents.trafficshare": Model("look", "look"),
    "agents.tool": Model("look add change delete", "look add change delete"),
    "agents.mcpserver": Model("look add change delete", "look add change delete"),
    "agents.toolcall": Model("look change", "look change"),
    "agents.conversation": Model("look", "look"),
    "agents.message": Model("look", "look"),
    "agents.task": Model("look", "look"),
    "agents.turn": Model("look", "look"),
    "webhooks.endpoint": Model("look add change delete", "look add change delete"),
    "webhooks.delivery": Model("look", "look"),
    "batches.batch": Model("look", "look"),
    "batches.file": Model("look", "look"),
    "schedules.schedule": Model("look", "look"),
    "schedules.firing": Model("look", "look"),
    "comparisons.inputset": Model("look", "look"),
    "comparisons.comparison": Model("look", "look"),
    "comparisons.comparisonrun": Model("look", "look"),
    "knowledge.collection": Model("look delete", "look delete"),
    "knowledge.document": Model("look add delete", "look add delete"),
    "audit.entry": Model("look", "look"),
    "billing.price": Model("look"),
    "billing.budget": Model("look add change delete", "look"),
    "billing.budgetnotice": Model("look", "look"),
    "billing.usagehour": Model("look", "look"),
    "billing.tenantusage": Model("look", "look"),
    "billing.gpuhour": Model("look"),
    "billing.billedhour": Model("look"),
}

ACTIONS: Final = {
    # model: actions that tenant administrators may start on own rows | those that only operators may. Viewers may start none.
    "tenants.apikey": ("revoke", ""),
    "tenants.secret": ("delete_selected", ""),
    "orchestrator.pool": ("", "pause resume go_on go_back try_again delete_selected"),
    "orchestrator.scalingpolicy": ("", "delete_selected"),
    "agents.agent": ("archive", ""),
    "agents.mcpserver": ("discover", ""),
    "agents.task": ("cancel run_again", ""),
    "webhooks.endpoint": ("rotate test delete_selected", ""),
    "webhooks.delivery": ("replay", ""),
    "batches.batch": ("cancel", ""),
    "knowledge.document": ("try_again", ""),
    "billing.budget": ("", "delete_selected"),
}

PUBLIC: Final = {
    # They ask for a login by themselves, where they need one; what they show and change is the asker's own account.
    "account_login", "account_logout", "account_inactive", "account_reauthenticate", "mfa_authenticate", "mfa_reauthenticate",
    "mfa_index", "mfa_activate_totp", "mfa_deactivate_totp", "mfa_view_recovery_codes", "mfa_generate_recovery_codes",
    "mfa_download_recovery_codes", "openid_connect_login", "openid_connect_callback", "admin:login", "admin:logout",
    "admin:password_change", "admin:password_change_done", "admin:jsi18n",
}  # fmt: skip

PAGES: Final = {
    "admin:index": Page(LOOK, LOOK),
    "admin:search": Page(LOOK, LOOK, query="s=a&extended=1"),
    "admin:autocomplete": Page(LOOK, LOOK, query="app_label=agents&model_name=agent&field_name=tenant&term="),
    "admin:agents_agent_split_traffic": Page(NO, USE, of="agents.agent"),
    "admin:agents_agent_roll_back": Page(NO, USE, of="agents.agent"),
    "admin:agents_agentrevision_publish": Page(NO, USE, of="agents.agentrevision"),
    "admin:agents_tool_import_document": Page(NO, USE),
    "admin:schedules_schedule_pause": Page(NO, USE, of="schedules.schedule"),
    "admin:schedules_schedule_resume": Page(NO, USE, of="schedules.schedule"),
    "admin:orchestrator_worker_drain": Page(NO, NO, of="orchestrator.worker"),
    "admin:orchestrator_worker_kill": Page(NO, NO, of="orchestrator.worker"),
    "console:home": Page(LOOK, LOOK),
    "console:pools": Page(LOOK, NO, operator=LOOK),
    "console:pool": Page(LOOK, NO, of="orchestrator.pool", by="slug", operator=LOOK),
    "console:pool_timeline": Page(LOOK, NO, of="orchestrator.pool", by="slug", operator=LOOK),
    "console:pool_policy": Page(NO, NO, of="orchestrator.pool", by="slug", operator=POST),
    "console:pool_trial": Page(POST, NO, of="orchestrator.pool", by="slug", operator=POST),
    "console:pool_action": Page(NO, NO, of="orchestrator.pool", by="slug", behind=("pause",), operator=POST),
    "console:worker": Page(LOOK, NO, of="orchestrator.worker", operator=LOOK),
    "console:worker_drain": Page(NO, NO, of="orchestrator.worker"),
    "console:worker_kill": Page(NO, NO, of="orchestrator.worker"),
    "console:task": Page(LOOK, LOOK, of="agents.task", operator=LOOK),
    "console:task_curl": Page(LOOK, LOOK, of="agents.task", operator=LOOK),
    "console:task_cancel": Page(NO, POST, of="agents.task", operator=POST),
    "console:task_retry": Page(NO, POST, of="agents.task", operator=POST),
    "console:playground": Page(LOOK, LOOK, operator=LOOK),
    "console:playground_run": Page(NO, POST, operator=POST),
    "console:playground_result": Page(LOOK, LOOK, of="agents.task", operator=LOOK),
    "console:playground_stop": Page(NO, POST, operator=POST),
    "console:playground_save": Page(NO, POST, operator=POST),
    "console:playground_tenants": Page(LOOK, LOOK, operator=LOOK),
    "console:playground_agents": Page(LOOK, LOOK, of="tenants.tenant", by="slug", operator=LOOK),
    "console:playground_agent": Page(LOOK, LOOK, of="tenants.tenant", by="slug", behind=("poet",), operator=LOOK),
    "console:tenants": Page(LOOK, LOOK, operator=LOOK),
    "console:tenant": Page(LOOK, LOOK, of="tenants.tenant", by="console_name", operator=LOOK),
    "console:tenant_usage": Page(LOOK, LOOK, of="tenants.tenant", by="console_name", operator=LOOK),
    "console:tenant_key_new": Page(NO, USE, of="tenants.tenant", by="console_name"),
    "console:tenant_key_revoke": Page(NO, USE, of="tenants.apikey", by="tenant.console_name,pk"),
    "console:tenant_suspend": Page(NO, NO, of="tenants.tenant", by="console_name"),
    "console:tenant_reactivate": Page(NO, NO, of="tenants.tenant", by="console_name"),
    "admin:auth_user_password_change": Page(NO, NO, of="auth.user"),
    "admin:auth_user_reset_second_factor": Page(NO, NO, of="auth.user"),
}

APPS: Final = {
    # The pages that list a package's models: which packages have any for a tenant administrator. Viewers see all but accounts.
    "auth": (NO, NO), "tenants": (LOOK, LOOK), "orchestrator": (LOOK, NO), "agents": (LOOK, LOOK), "webhooks": (LOOK, LOOK),
    "batches": (LOOK, LOOK), "schedules": (LOOK, LOOK), "comparisons": (LOOK, LOOK), "knowledge": (LOOK, LOOK),
    "billing": (LOOK, LOOK), "audit": (LOOK, LOOK),
}  # fmt: skip

READ_ONLY: Final = ("history", "index", "home", "search", "autocomplete", "app_list", "console:tenants")
"""How the names of pages end that answer a POST as they answer a GET, since they never write."""

NOTHING_THERE: Final = {"admin:view_on_site", "admin:"}
"""404 for everybody: no object has a page elsewhere; and old addresses of the admin, which redirect to the change page."""

TOPICS: Final = {
    "overview": Page(LOOK, NO),
    "overview_hour": Page(LOOK, NO),
    "pool": Page(LOOK, NO, of="orchestrator.pool", by="slug"),
    "worker": Page(LOOK, NO, of="orchestrator.worker"),
    "tenant": Page(LOOK, LOOK, of="tenants.tenant", by="console_name"),
}
