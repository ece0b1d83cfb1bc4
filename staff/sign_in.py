"""How allauth signs staff in: no sign-up, no mail, and failures that are throttled with a clear answer."""

from __future__ import annotations

import math
import time
from typing import Any, NoReturn

from allauth.account import app_settings
from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.internal.flows.login import get_authentication_records
from allauth.core import context
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.core.internal import ratelimit
from django.core.cache import cache
from django.forms import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from staff.frame import bare_frame

APP = "allauth.account"
FAILED = "login_failed"
TOO_MANY = frozenset({"too_many_login_attempts", "rate_limited"})
LONGEST_WAIT_S = 300
"""The window over which failures count."""


def too_many(request: HttpRequest, *, wait_s: int = LONGEST_WAIT_S) -> HttpResponse:
    """429, with when to come back."""
    page = {**bare_frame(request, title="Too many attempts"), "minutes": math.ceil(wait_s / 60)}
    answer = render(request, "429.html", page, status=429)
    answer.headers["Retry-After"] = str(wait_s)
    return answer


class AccountAdapter(DefaultAccountAdapter):
    """Accounts are made by operators, or by the OpenID provider's word; nobody signs up."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def send_mail(self, *args: Any, **kwargs: Any) -> None:
        """Nothing here is told by mail."""

    def add_message(self, *args: Any, **kwargs: Any) -> None:
        """The page that follows says it all."""

    def is_reauthentication_required(self, *, app: str) -> bool:
        """Who has just logged in need not confirm the password once more to set up a second factor."""
        records = get_authentication_records(self.request, self.request.user)
        if records and time.time() - records[-1]["at"] < app_settings.REAUTHENTICATION_TIMEOUT:
            return False
        required: bool = super().is_reauthentication_required(app=app)
        return required

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Count the attempt as failed until it succeeds. Raises `ImmediateHttpResponse` (429) if there were too many."""
        key = self._get_login_attempts_cache_key(request, **credentials)
        self._login_failed_rl_usage = ratelimit.consume(request, app=APP, action=FAILED, key=key)
        if not self._login_failed_rl_usage:
            raise ImmediateHttpResponse(too_many(request, wait_s=_wait_s(request, key)))

    def validation_error(self, code: str, *args: Any) -> ValidationError:
        """What allauth says beside a field. Too many codes of a second factor are answered as too many passwords are."""
        if code in TOO_MANY:
            refuse_too_many()
        return super().validation_error(code, *args)


def refuse_too_many() -> NoReturn:
    """Raises `ImmediateHttpResponse`, which answers 429."""
    raise ImmediateHttpResponse(too_many(context.request))


def _wait_s(request: HttpRequest, key: str) -> int:
    """Until one more attempt is taken: of each window that is full, until its oldest attempt leaves it."""
    waits = [1.0]
    for rate in ratelimit.get_rates(app=APP, action=FAILED):
        where = ratelimit.get_cache_key(request, app=APP, action=FAILED, rate=rate, key=key)
        newest_first: list[float] = cache.get(where, [])
        if len(newest_first) >= rate.amount:
            waits.append(newest_first[rate.amount - 1] + rate.duration - time.time())
    return math.ceil(max(waits))
