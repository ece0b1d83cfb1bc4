"""URLs that Django serves; the hot routes are taken before by opsite.asgi."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from agents.api.urls import urlpatterns as agents_urls
from billing.api.urls import urlpatterns as billing_urls
from comparisons.api.urls import urlpatterns as comparisons_urls
from knowledge.api.urls import urlpatterns as knowledge_urls
from schedules.api.urls import urlpatterns as schedules_urls

admin.site.index_title = "Overview"

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("console/", include("staff.sign_in_urls")),
    path("console/", include("console.urls")),
    path("console/", admin.site.urls),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs/", SpectacularSwaggerView.as_view(url_name="schema"), name="docs"),
    path("api/v1/", include([*agents_urls, *schedules_urls, *comparisons_urls, *billing_urls, *knowledge_urls])),
]
handler404 = "agents.api.errors.not_found"
handler500 = "agents.api.errors.server_error"
handler403 = "staff.refusals.permission_denied"
handler429 = "staff.refusals.too_many_requests"
