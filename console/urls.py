"""The console's own pages, by names that people can type; the admin's lists and forms come behind them."""

from __future__ import annotations

from django.urls import URLPattern

from console.pools.urls import urlpatterns as pools

app_name = "console"
urlpatterns: list[URLPattern] = [*pools]
