"""The pages by which staff sign in and look after their second factor. Of allauth's other pages none is served."""

from __future__ import annotations

from allauth.account import views as account
from allauth.mfa.base import views as mfa
from allauth.mfa.recovery_codes import views as recovery
from allauth.mfa.totp import views as totp
from allauth.socialaccount.providers.openid_connect import views as oidc
from django.urls import path, re_path
from django.views.decorators.http import require_POST

urlpatterns = [
    path("login/", account.login, name="account_login"),
    path("logout/", account.logout, name="account_logout"),
    path("login/inactive/", account.account_inactive, name="account_inactive"),
    path("login/code/", mfa.authenticate, name="mfa_authenticate"),
    path("login/again/", account.reauthenticate, name="account_reauthenticate"),
    path("login/again/code/", mfa.reauthenticate, name="mfa_reauthenticate"),
    path("second-factor/", mfa.index, name="mfa_index"),
    path("second-factor/set-up/", totp.activate_totp, name="mfa_activate_totp"),
    path("second-factor/remove/", totp.deactivate_totp, name="mfa_deactivate_totp"),
    path("second-factor/recovery-codes/", recovery.view_recovery_codes, name="mfa_view_recovery_codes"),
    path("second-factor/recovery-codes/new/", recovery.generate_recovery_codes, name="mfa_generate_recovery_codes"),
    path("second-factor/recovery-codes/file/", recovery.download_recovery_codes, name="mfa_download_recovery_codes"),
    re_path("^(?P<provider_id>sso)/login/$", require_POST(oidc.login), name="openid_connect_login"),
    re_path("^(?P<provider_id>sso)/login/callback/$", oidc.callback, name="openid_connect_callback"),
]
