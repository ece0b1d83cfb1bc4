"""The console's own pages, by names that people can type; the admin's lists and forms come behind them."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path

from console.pools.urls import urlpatterns as pools
from console.workers.urls import urlpatterns as workers

app_name = "console"
urlpatterns: list[URLPattern | URLResolver] = [
    *pools,
    path("workers/", include(workers)),
]
