"""The second factor's secrets, sealed at rest (Fernet under a key derived from SECRET_KEY), and how an operator takes one away."""

from __future__ import annotations

import base64

from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from cryptography.fernet import Fernet, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.contrib.auth.models import User
from django.forms import ValidationError
from django.utils.encoding import force_bytes

from staff.sign_in import TOO_MANY, refuse_too_many


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


def has_second_factor(user: User) -> bool:
    """Whether the account asks for a code after the password."""
    return Authenticator.objects.filter(user=user, type=Authenticator.Type.TOTP).exists()


def forget_second_factor(user: User) -> bool:
    """Take it away, recovery codes included, so that its owner can set up another. Returns whether there was one."""
    gone, _ = Authenticator.objects.filter(user=user).delete()
    return gone > 0


def _box() -> MultiFernet:
    return MultiFernet([Fernet(_key(secret)) for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)])


def _key(secret: str | bytes) -> bytes:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"opsite/second factor").derive(force_bytes(secret))
    return base64.urlsafe_b64encode(derived)
