"""How staff sign in, from the environment: sessions, throttling, the second factor, single sign-on."""

from __future__ import annotations

import os
from typing import Any

from staff.role_map import RoleMap


def _flag(name: str) -> bool:
    return os.environ.get(name, "0").lower() in ("1", "true", "yes", "on")


OPSITE_HTTPS = _flag("OPSITE_HTTPS")
"""Whether people reach the console by HTTPS: cookies then travel by it alone."""
OPSITE_TRUSTED_PROXIES = int(os.environ.get("OPSITE_TRUSTED_PROXIES", "0"))
"""Proxies before the web processes that write X-Forwarded-For and X-Forwarded-Proto. 0: these headers are not believed."""
OPSITE_SESSION_HOURS = float(os.environ.get("OPSITE_SESSION_HOURS", "12"))
"""How long somebody stays logged in."""
OPSITE_REQUIRE_TOTP = _flag("OPSITE_REQUIRE_TOTP")
"""Whether all of staff must have a second factor before they may do anything else."""
OPSITE_OIDC_ISSUER = os.environ.get("OPSITE_OIDC_ISSUER", "").rstrip("/")
"""The OpenID provider, as https://id.example.com/realms/ops; empty: no single sign-on."""
if OPSITE_OIDC_ISSUER and not OPSITE_OIDC_ISSUER.startswith(("https://", "http://127.0.0.1:", "http://localhost:")):
    raise SystemExit("opsite: OPSITE_OIDC_ISSUER must begin with https://, since it says who may do what here")
OPSITE_OIDC_NAME = os.environ.get("OPSITE_OIDC_NAME", "single sign-on")
"""What its button says: Log in with …"""
OPSITE_OIDC_SESSION_MINUTES = float(os.environ.get("OPSITE_OIDC_SESSION_MINUTES", "60"))
"""How long a session lasts that single sign-on began: so long may somebody stay whose groups were taken away at the provider."""
OPSITE_OIDC_CLAIM = os.environ.get("OPSITE_OIDC_CLAIM", "groups")
"""The claim whose values OPSITE_OIDC_ROLES maps to roles."""
OPSITE_OIDC_ROLES = RoleMap.parse(os.environ.get("OPSITE_OIDC_ROLES", ""))
"""`ops=operator, watchers=viewer, acme-it=tenant_administrator:acme`. The first that fits counts; who has none gets no access."""

SESSION_COOKIE_AGE = int(OPSITE_SESSION_HOURS * 3600)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = OPSITE_HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if OPSITE_HTTPS and OPSITE_TRUSTED_PROXIES else None

AUTHENTICATION_BACKENDS = ["staff.backend.RoleBackend"]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "admin:index"

ALLAUTH_TRUSTED_PROXY_COUNT = OPSITE_TRUSTED_PROXIES
ACCOUNT_ADAPTER = "staff.sign_in.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
ACCOUNT_DEFAULT_HTTP_PROTOCOL = "https" if OPSITE_HTTPS else "http"
ACCOUNT_RATE_LIMITS = {"login": "", "login_failed": "20/5m/ip,5/5m/key", "reauthenticate": "10/5m/user"}
"""What failed counts: of an address, and of an account (codes of a second factor as well). Logins that succeed do not."""

MFA_ADAPTER = "staff.second_factor.SecondFactorAdapter"
MFA_FORMS = {"authenticate": "staff.second_factor.CodeForm"}
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_TOTP_ISSUER = "Opsite"
MFA_TOTP_TOLERANCE = 1  # steps of 30 s: clocks differ, and people type slowly

SOCIALACCOUNT_ADAPTER = "staff.single_sign_on.SingleSignOn"
SOCIALACCOUNT_STORE_TOKENS = False
SOCIALACCOUNT_PROVIDERS: dict[str, Any] = (
    {
        "openid_connect": {
            "APPS": [
                {
                    "provider_id": "sso",
                    "name": OPSITE_OIDC_NAME,
                    "client_id": os.environ.get("OPSITE_OIDC_CLIENT_ID", ""),
                    "secret": os.environ.get("OPSITE_OIDC_CLIENT_SECRET", ""),
                    "settings": {"server_url": OPSITE_OIDC_ISSUER, "oauth_pkce_enabled": True},
                }
            ]
        }
    }
    if OPSITE_OIDC_ISSUER
    else {}
)


def cache_in(redis_url: str) -> dict[str, Any]:
    """Django's cache, in the Redis of the queue under a prefix of its own: all web processes count failed logins together."""
    return {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": [redis_url],  # as a text it would be split at commas, which a password may hold
            "KEY_PREFIX": "opsite:cache",
        }
    }
