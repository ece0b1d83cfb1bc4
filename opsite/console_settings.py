"""The console's part of the settings: its names, its style, and where its menu and its search come from."""

from __future__ import annotations

from django.urls import reverse_lazy

UNFOLD = {
    "SITE_TITLE": "Opsite",
    "SITE_HEADER": "Opsite",
    "SITE_SUBHEADER": "operations room",
    "SITE_URL": None,
    "SITE_ICON": lambda _request: "/static/opsite/icon.svg",
    "SHOW_HISTORY": True,
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda _request: "/static/opsite/icon.svg"}],
    "STYLES": [lambda _request: "/static/opsite/console.css", lambda _request: "/static/opsite/frame.css"],
    "SCRIPTS": [lambda _request: "/static/opsite/parts.js", lambda _request: "/static/opsite/frame.js"],
    "COLORS": {
        "font": {"subtle-light": "var(--color-base-600)"},  # the theme's own is too pale on grey
        "primary": {
            "50": "#f5f3ff",
            "100": "#ede9fe",
            "200": "#ddd6fe",
            "300": "#c4b5fd",
            "400": "#a78bfa",
            "500": "#8b5cf6",
            "600": "#7c3aed",
            "700": "#6d28d9",
            "800": "#5b21b6",
            "900": "#4c1d95",
            "950": "#2e1065",
        },
    },
    "ACCOUNT": {
        "navigation": [
            {"title": "Change password", "link": reverse_lazy("admin:password_change")},
            {"title": "Second factor", "link": reverse_lazy("mfa_index")},
        ]
    },
    "SIDEBAR": {"show_search": True, "command_search": True, "navigation": "console.navigation.navigation"},
}
