"""The second factor's secrets, sealed at rest (Fernet under a key derived from SECRET_KEY), and how an operator takes one away."""

from __future__ import annotations

import base64

from allauth.mfa import app_settings
from allauth.mfa.adapter import DefaultMFAAdapter, get_adapter
from allauth.mfa.base.forms import AuthenticateForm
from allauth.mfa.models import Authenticator
from cryptography.fernet import Fernet, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.contrib.auth.models import User
from django.core.cache import cache
from django.forms import ValidationError
from django.utils.encoding import force_bytes

from staff.sign_in import TOO_MANY, refuse_too_many

VALID_S = app_settings.TOTP_PERIOD * (1 + 2 * app_settings.TOTP_TOLERANCE)
"""From a code's first moment to its last."""


class SecondFactorAdapter(DefaultMFAAdapter):
    """Time-based codes and recovery codes."""

    def encrypt(self, text: str) -> str:
        return _box().encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        return _box().decrypt(encrypted_text.encode()).decode()

    def validation_error(self, code: str, *args: object) -> ValidationError:
        """Too many codes are answered as too many passwords are."""
        if code in TOO_MANY:
            refuse_too_many()
        return super().validation_error(code, *args)


class CodeForm(AuthenticateForm):
    """A code lets in once. allauth remembers it for one step of its time, but takes it for as many as the tolerance adds."""

    def clean_code(self) -> str:
        code: str = super().clean_code()
        if not cache.add(f"second-factor:{self.user.pk}:{code}", "used", timeout=VALID_S):
            self._emit_authentication_failed(self.authenticator)
            raise get_adapter().validation_error("incorrect_code")
        return code


def forget_second_factor(user: User) -> bool:
    """Take it away, recovery codes included, so that its owner can set up another. Returns whether there was one."""
    gone, _ = Authenticator.objects.filter(user=user).delete()
    return gone > 0


def _box() -> MultiFernet:
    return MultiFernet([Fernet(_key(secret)) for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)])


def _key(secret: str | bytes) -> bytes:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"opsite/second factor").derive(force_bytes(secret))
    return base64.urlsafe_b64encode(derived)
