"""The console's own pages, by names that people can type; the admin's lists and forms come behind them."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path

from console.playground.urls import urlpatterns as playground

app_name = "console"
urlpatterns: list[URLPattern | URLResolver] = [
    path("playground/", include(playground)),
]
