"""The playground's addresses, below `/console/playground/`."""

from __future__ import annotations

from django.urls import path

from console.playground import views

urlpatterns = [
    path("", views.page, name="playground"),
    path("runs/", views.run, name="playground_run"),
    path("results/<uuid:task>/", views.result, name="playground_result"),
    path("stop/", views.stop, name="playground_stop"),
    path("inputs/", views.save, name="playground_save"),
    path("tenants/", views.suggest_tenants, name="playground_tenants"),
    path("tenants/<slug:slug>/agents/", views.suggest_agents, name="playground_agents"),
    path("tenants/<slug:slug>/agents/<slug:agent_slug>/", views.agent, name="playground_agent"),
]
