"""Single sign-on by OpenID Connect: the provider says who somebody is and in which groups, a setting says what these may do.

The role is given anew at each login, so that the provider's word counts. Who has no mapped group gets no access, and no account;
who had a role before loses it. Sessions are short, since only a login asks the provider: they end at a moment, whatever is done in
them.
"""

from __future__ import annotations

import logging
import uuid
from contextlib import suppress
from datetime import timedelta
from typing import Any, NoReturn

from allauth.account.adapter import get_adapter as account_adapter
from allauth.account.signals import user_logged_in
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone

from audit.acting import as_provider
from staff.accounts import LastOperator, give_role, take_role
from staff.gate import refused
from staff.models import StaffRole
from staff.role_map import Grant

log = logging.getLogger(__name__)


class SingleSignOn(DefaultSocialAccountAdapter):
    """Accounts are made at the first login of who has a role."""

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        return False

    def pre_social_login(self, request: HttpRequest, sociallogin: Any) -> None:
        """Give the account its role, and make it if there is none. Raises `ImmediateHttpResponse` (403) for who gets no access."""
        if sociallogin.state.get("process") != "login":
            _refuse(request, "An account is not connected to another one.")
        claims = _claims(sociallogin.account.extra_data)
        grant = settings.OPSITE_OIDC_ROLES.grant_for(claims.get(settings.OPSITE_OIDC_CLAIM))
        if grant is None:
            self._take_role(request, sociallogin)
            _refuse(
                request, "None of your groups has a role in this console. An operator can map one of them to a role."
            )
        tenant_id = _tenant_id(request, grant)
        if sociallogin.is_existing and not sociallogin.user.is_active:
            _refuse(request, "Your account was shut by an operator.")
        try:
            with as_provider(request, "single sign-on"), transaction.atomic():
                if not sociallogin.is_existing:
                    sociallogin.user = self._account(request, sociallogin.user, claims)
                    sociallogin.save(request, connect=True)
                give_role(user=sociallogin.user, role=grant.role, tenant_id=tenant_id)
        except LastOperator as refusal:
            _refuse(request, str(refusal))

    def on_authentication_error(
        self, request: HttpRequest, provider: Any, error: Any = None, exception: Any = None, extra_context: Any = None
    ) -> None:
        """Raises `ImmediateHttpResponse` (403): the provider did not say who this is."""
        log.warning("single sign-on failed: %s %s", error, type(exception).__name__ if exception else "")
        _refuse(request, "The provider did not confirm who you are. Try again, or ask an operator to look at the log.")

    def _take_role(self, request: HttpRequest, sociallogin: Any) -> None:
        """Of an account whose groups are gone, so that its other sessions end, too."""
        if sociallogin.is_existing:
            with suppress(LastOperator), as_provider(request, "single sign-on"), transaction.atomic():
                take_role(user=sociallogin.user)

    def _account(self, request: HttpRequest, user: User, claims: dict[str, Any]) -> User:
        """A new account, under a name that nobody has: an account that is there is never taken over by its name."""
        names = [claims.get("preferred_username"), claims.get("email"), claims.get("name"), "staff"]
        user.username = account_adapter(request).generate_unique_username([one for one in names if one])
        user.is_staff = True
        user.set_unusable_password()
        return user


@receiver(user_logged_in)
def short_session(request: HttpRequest, sociallogin: Any = None, **signal: Any) -> None:
    """A session that the provider's word began ends so soon that its word is asked for again."""
    if sociallogin is not None:
        lasts = timedelta(minutes=min(settings.OPSITE_OIDC_SESSION_MINUTES, settings.OPSITE_SESSION_HOURS * 60))
        request.session.set_expiry(timezone.now() + lasts)


def _claims(extra_data: dict[str, Any]) -> dict[str, Any]:
    """What the ID token and the provider's userinfo say, the latter over the former."""
    return {**(extra_data.get("id_token") or {}), **(extra_data.get("userinfo") or {})}


def _tenant_id(request: HttpRequest, grant: Grant) -> uuid.UUID | None:
    if grant.tenant is None:
        return None
    tenants: Any = StaffRole._meta.get_field("tenant").related_model
    found: uuid.UUID | None = tenants.objects.filter(slug=grant.tenant).values_list("pk", flat=True).first()
    if found is None:
        log.warning("OPSITE_OIDC_ROLES names the tenant %r, which there is not", grant.tenant)
        _refuse(request, "Your group is mapped to a tenant that does not exist.")
    return found


def _refuse(request: HttpRequest, why: str) -> NoReturn:
    raise ImmediateHttpResponse(refused(request, why))
