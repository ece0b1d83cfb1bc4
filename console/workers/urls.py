"""The paths of a worker's pages, below `/console/workers/`."""

from __future__ import annotations

from django.urls import path

from console.workers import views

urlpatterns = [
    path("<uuid:worker>/", views.page, name="worker"),
    path("<uuid:worker>/drain/", views.drain, name="worker_drain"),
    path("<uuid:worker>/kill/", views.kill, name="worker_kill"),
]
