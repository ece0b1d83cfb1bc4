"""How secrets are encrypted at rest: Fernet (AES-128-CBC with HMAC-SHA-256), under a key for each tenant and purpose. Pure.

The keys are derived by HKDF (RFC 5869) with the tenant's id and the purpose in its `info`. So a ciphertext that is copied to
another tenant's row, or to a row of another kind, does not open there.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32


class BadKey(ValueError):
    """A configured key is none."""


class CannotOpen(Exception):
    """None of the keys opens this ciphertext, or it is another tenant's."""


class Vault:
    """Seals with the first key and opens with all of them. `keys`: 32 bytes each, the newest first."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys or any(len(key) != KEY_BYTES for key in keys):
            raise BadKey("a vault needs keys of 32 bytes, at least one")
        self._keys = tuple(keys)

    def seal(self, value: str, *, tenant: uuid.UUID, purpose: str) -> str:
        """The ciphertext, as text."""
        return self._box(tenant, purpose).encrypt(value.encode()).decode()

    def open(self, ciphertext: str, *, tenant: uuid.UUID, purpose: str) -> str:
        """What was sealed. Raises CannotOpen."""
        try:
            return self._box(tenant, purpose).decrypt(ciphertext.encode()).decode()
        except InvalidToken:
            raise CannotOpen(_ADVICE) from None

    def reseal(self, ciphertext: str, *, tenant: uuid.UUID, purpose: str) -> str:
        """The same under the newest key. Raises CannotOpen."""
        return self.seal(self.open(ciphertext, tenant=tenant, purpose=purpose), tenant=tenant, purpose=purpose)

    def _box(self, tenant: uuid.UUID, purpose: str) -> MultiFernet:
        info = b"opsite/" + purpose.encode() + b"/" + tenant.bytes
        return MultiFernet([Fernet(base64.urlsafe_b64encode(_derived(key, info))) for key in self._keys])


def configured_keys(listed: str, *, secret_key: str) -> tuple[bytes, ...]:
    """The keys of a setting that lists them, in URL-safe base64, newest first; the one derived from SECRET_KEY is always the last.

    So a stack that began without the setting still opens what it sealed then. Raises BadKey, without the key.
    """
    words = listed.replace(",", " ").split()
    keys = tuple(_decoded(word, place) for place, word in enumerate(words, start=1))
    return (*keys, _derived(secret_key.encode(), b"opsite/secrets-key"))


def _decoded(word: str, place: int) -> bytes:
    try:
        key = base64.b64decode(word, altchars=b"-_", validate=True)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise BadKey(
            f"key {place} of OPSITE_SECRETS_KEYS is not 32 bytes in URL-safe base64; make one with "
            "`python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'`"
        )
    return key


def _derived(key: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info).derive(key)


_ADVICE = "No configured key opens this secret. Put its key back into OPSITE_SECRETS_KEYS, or set the secret anew."
