"""The console's own pages, by names that people can type; the admin's lists and forms come behind them."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path

from console.playground.urls import urlpatterns as playground
from console.tenants.home import home
from console.tenants.urls import urlpatterns as tenants

app_name = "console"
urlpatterns: list[URLPattern | URLResolver] = [
    path("", home, name="home"),
    path("playground/", include(playground)),
    path("tenants/", include(tenants)),
]
