"""The console's part of the settings: its names, its style, its menu."""

from __future__ import annotations

from django.urls import reverse_lazy

UNFOLD = {
    "SITE_TITLE": "Opsite",
    "SITE_HEADER": "Opsite",
    "SITE_SUBHEADER": "operations room",
    "SITE_URL": None,
    "SHOW_HISTORY": True,
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda _request: "/static/opsite/icon.svg"}],
    "STYLES": [lambda _request: "/static/opsite/console.css"],
    "SIDEBAR": {
        "show_search": True,
        "navigation": [
            {
                "title": "Operate",
                "items": [
                    {"title": "Overview", "icon": "monitoring", "link": reverse_lazy("admin:index")},
                    {"title": "Tasks", "icon": "task", "link": reverse_lazy("admin:agents_task_changelist")},
                    {
                        "title": "Workers",
                        "icon": "memory",
                        "link": reverse_lazy("admin:orchestrator_worker_changelist"),
                    },
                    {
                        "title": "Decisions",
                        "icon": "timeline",
                        "link": reverse_lazy("admin:orchestrator_scalingdecision_changelist"),
                    },
                ],
            },
            {
                "title": "Agents",
                "items": [
                    {"title": "Agents", "icon": "smart_toy", "link": reverse_lazy("admin:agents_agent_changelist")},
                    {
                        "title": "Revisions",
                        "icon": "history",
                        "link": reverse_lazy("admin:agents_agentrevision_changelist"),
                    },
                    {"title": "Tools", "icon": "build", "link": reverse_lazy("admin:agents_tool_changelist")},
                    {
                        "title": "MCP servers",
                        "icon": "hub",
                        "link": reverse_lazy("admin:agents_mcpserver_changelist"),
                    },
                    {
                        "title": "Tool calls",
                        "icon": "call_made",
                        "link": reverse_lazy("admin:agents_toolcall_changelist"),
                    },
                    {
                        "title": "Publications",
                        "icon": "publish",
                        "link": reverse_lazy("admin:agents_publication_changelist"),
                    },
                    {
                        "title": "Conversations",
                        "icon": "forum",
                        "link": reverse_lazy("admin:agents_conversation_changelist"),
                    },
                    {
                        "title": "Comparisons",
                        "icon": "compare",
                        "link": reverse_lazy("admin:comparisons_comparison_changelist"),
                    },
                    {
                        "title": "Schedules",
                        "icon": "schedule",
                        "link": reverse_lazy("admin:schedules_schedule_changelist"),
                    },
                    {"title": "Batches", "icon": "stacks", "link": reverse_lazy("admin:batches_batch_changelist")},
                    {"title": "Files", "icon": "description", "link": reverse_lazy("admin:batches_file_changelist")},
                    {"title": "Messages", "icon": "chat", "link": reverse_lazy("admin:agents_message_changelist")},
                    {"title": "Turns", "icon": "repeat", "link": reverse_lazy("admin:agents_turn_changelist")},
                ],
            },
            {
                "title": "Knowledge",
                "items": [
                    {
                        "title": "Collections",
                        "icon": "library_books",
                        "link": reverse_lazy("admin:knowledge_collection_changelist"),
                    },
                    {
                        "title": "Documents",
                        "icon": "description",
                        "link": reverse_lazy("admin:knowledge_document_changelist"),
                    },
                ],
            },
            {
                "title": "Models",
                "items": [
                    {"title": "Pools", "icon": "dns", "link": reverse_lazy("admin:orchestrator_pool_changelist")},
                    {
                        "title": "Roll-outs",
                        "icon": "published_with_changes",
                        "link": reverse_lazy("admin:orchestrator_rollout_changelist"),
                    },
                    {
                        "title": "Pool revisions",
                        "icon": "history",
                        "link": reverse_lazy("admin:orchestrator_poolrevision_changelist"),
                    },
                    {
                        "title": "Images and weights",
                        "icon": "inventory_2",
                        "link": reverse_lazy("admin:orchestrator_stockitem_changelist"),
                    },
                    {
                        "title": "Policies",
                        "icon": "tune",
                        "link": reverse_lazy("admin:orchestrator_scalingpolicy_changelist"),
                    },
                ],
            },
            {
                "title": "Billing",
                "items": [
                    {
                        "title": "Usage",
                        "icon": "bar_chart",
                        "link": reverse_lazy("admin:billing_tenantusage_changelist"),
                    },
                    {
                        "title": "Usage by hour",
                        "icon": "schedule",
                        "link": reverse_lazy("admin:billing_usagehour_changelist"),
                    },
                    {"title": "Prices", "icon": "sell", "link": reverse_lazy("admin:billing_price_changelist")},
                    {"title": "Budgets", "icon": "savings", "link": reverse_lazy("admin:billing_budget_changelist")},
                    {
                        "title": "Budget notices",
                        "icon": "notifications",
                        "link": reverse_lazy("admin:billing_budgetnotice_changelist"),
                    },
                    {
                        "title": "GPU bill",
                        "icon": "receipt_long",
                        "link": reverse_lazy("admin:billing_billedhour_changelist"),
                    },
                    {"title": "GPU time", "icon": "timer", "link": reverse_lazy("admin:billing_gpuhour_changelist")},
                ],
            },
            {
                "title": "Tenants",
                "items": [
                    {"title": "Tenants", "icon": "apartment", "link": reverse_lazy("admin:tenants_tenant_changelist")},
                    {"title": "API keys", "icon": "key", "link": reverse_lazy("admin:tenants_apikey_changelist")},
                    {"title": "Secrets", "icon": "lock", "link": reverse_lazy("admin:tenants_secret_changelist")},
                    {
                        "title": "Webhooks",
                        "icon": "webhook",
                        "link": reverse_lazy("admin:webhooks_endpoint_changelist"),
                    },
                    {
                        "title": "Deliveries",
                        "icon": "outbox",
                        "link": reverse_lazy("admin:webhooks_delivery_changelist"),
                    },
                    {"title": "Staff", "icon": "badge", "link": reverse_lazy("admin:auth_user_changelist")},
                ],
            },
            {
                "title": "Audit",
                "items": [
                    {"title": "Audit log", "icon": "policy", "link": reverse_lazy("admin:audit_entry_changelist")},
                ],
            },
        ],
    },
}
