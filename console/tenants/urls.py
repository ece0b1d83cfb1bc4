"""A tenant's addresses, below `/console/tenants/`. The admin's own lists there come behind them."""

from __future__ import annotations

from django.urls import path, register_converter

from console.tenants import home, key_views, standing_views, views
from console.tenants.found import TenantName

register_converter(TenantName, "tenant")

urlpatterns = [
    path("", home.tenants, name="tenants"),
    path("<tenant:name>/", views.page, name="tenant"),
    path("<tenant:name>/usage/", views.usage_figures, name="tenant_usage"),
    path("<tenant:name>/keys/new/", key_views.new_key, name="tenant_key_new"),
    path("<tenant:name>/keys/<uuid:key_id>/revoke/", key_views.revoke, name="tenant_key_revoke"),
    path("<tenant:name>/suspend/", standing_views.suspend, name="tenant_suspend"),
    path("<tenant:name>/reactivate/", standing_views.reactivate, name="tenant_reactivate"),
]
