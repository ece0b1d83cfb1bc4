"""Log-ins, those that failed (by password or by the second factor's code), and log-outs."""

from __future__ import annotations

from typing import Any

from allauth.mfa.signals import authentication_failed
from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.dispatch import receiver
from django.http import HttpRequest

from audit.acting import address_of
from audit.models import Entry

UNKNOWN = "an unknown name"
"""What stands for a name that no account has: people type passwords where the name belongs."""


@receiver(user_logged_in)
def logged_in(request: HttpRequest, user: Any, **signal: Any) -> None:
    """Somebody is who they say."""
    _write(request, "staff.login", Entry.ActorKind.STAFF, user.get_username())


@receiver(user_logged_out)
def logged_out(request: HttpRequest, user: Any, **signal: Any) -> None:
    """Somebody has gone."""
    if user is not None:
        _write(request, "staff.logout", Entry.ActorKind.STAFF, user.get_username())


@receiver(user_login_failed)
def login_failed(credentials: dict[str, Any], request: HttpRequest | None = None, **signal: Any) -> None:
    """Somebody is not."""
    name = str(credentials.get("username") or "")
    known = bool(name) and get_user_model().objects.filter(username=name).exists()
    _write(request, "staff.login_failed", Entry.ActorKind.NOBODY, name if known else UNKNOWN)


@receiver(authentication_failed)
def code_failed(request: HttpRequest, user: Any, reauthentication: bool = False, **signal: Any) -> None:
    """A code of the second factor was wrong: of somebody whose password was right, or who is logged in."""
    kind = Entry.ActorKind.STAFF if reauthentication else Entry.ActorKind.NOBODY
    _write(request, "staff.code_failed", kind, user.get_username())


def _write(request: HttpRequest | None, action: str, kind: Entry.ActorKind, actor: str) -> None:
    Entry.objects.create(
        actor_kind=kind, actor=actor, action=action, address=None if request is None else address_of(request)
    )
