"""The pools' addresses."""

from __future__ import annotations

from django.urls import URLPattern, path

from console.pools import views

urlpatterns: list[URLPattern] = [
    path("pools/", views.index, name="pools"),
    path("pools/<str:slug>/", views.page, name="pool"),
    path("pools/<str:slug>/timeline/", views.series, name="pool_timeline"),
    path("pools/<str:slug>/policy/", views.save_policy, name="pool_policy"),
    path("pools/<str:slug>/policy/try/", views.try_policy, name="pool_trial"),
    path("pools/<str:slug>/do/<str:action>/", views.act, name="pool_action"),
]
