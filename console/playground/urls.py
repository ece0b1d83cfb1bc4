"""The playground's addresses, below `/console/playground/`."""

from __future__ import annotations

from django.urls import path

from console.playground import views

urlpatterns = [
    path("", views.page, name="playground"),
    path("runs/", views.run, name="playground-run"),
    path("events/", views.events, name="playground-events"),
    path("stop/", views.stop, name="playground-stop"),
    path("inputs/", views.save, name="playground-save"),
    path("tenants/", views.suggest_tenants, name="playground-tenants"),
    path("tenants/<slug:slug>/agents/", views.suggest_agents, name="playground-agents"),
    path("tenants/<slug:slug>/agents/<slug:agent_slug>/", views.agent, name="playground-agent"),
]
