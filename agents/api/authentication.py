"""API keys for Django REST framework: who asks, and whether the key's scopes allow it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from agents import problems
from audit import acting
from audit.models import Entry
from tenants import keys, selectors, services
from tenants.models import ApiKey, Tenant

if TYPE_CHECKING:
    from rest_framework.views import APIView


class KeyUser:
    """What `request.user` is for a request with an API key."""

    is_authenticated = True
    is_active = True

    def __init__(self, tenant: Tenant, key: ApiKey) -> None:
        self.tenant, self.key = tenant, key
        self.pk = key.pk

    def __str__(self) -> str:
        return str(self.key)


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer ops_…`."""

    def authenticate(self, request: Request) -> tuple[KeyUser, ApiKey]:
        secret = keys.from_authorization(request.headers.get("Authorization"))
        key = selectors.valid_key(secret) if secret else None
        if key is None:
            raise problems.bad_key()
        services.note_use(key)
        acting.begin(request._request, Entry.ActorKind.API_KEY, f"{key.name} ({key.prefix}…)")
        return KeyUser(key.tenant, key), key

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="opsite"'


class HasScope(BasePermission):
    """The view's `scopes` table names the scope per method; reading and writing differ."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        area: str = getattr(view, "scope_area", "agents")
        scope = f"{area}:{'read' if request.method in ('GET', 'HEAD', 'OPTIONS') else 'write'}"
        key: Any = request.auth
        if key.scopes and scope not in key.scopes:
            raise problems.missing_scope(scope)
        return True


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the OpenAPI document names the keys."""

    target_class = ApiKeyAuthentication
    name = "ApiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """HTTP bearer."""
        return {"type": "http", "scheme": "bearer"}
