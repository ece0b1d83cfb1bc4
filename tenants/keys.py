"""API keys as values: made, shown once, and known afterwards only by their digest."""

from __future__ import annotations

import hashlib
import secrets
from typing import NamedTuple

PREFIX = "ops_"
SHOWN_CHARS = 10
SCOPES = (
    "tasks:write", "tasks:read", "agents:write", "agents:read", "secrets:write", "secrets:read", "webhooks:write", "webhooks:read",
    "tools:write", "tools:read",
    "schedules:write", "schedules:read",
    "usage:read",
    "files:write", "files:read", "batches:write", "batches:read",
    "comparisons:write", "comparisons:read",
    "knowledge:write", "knowledge:read",
)  # fmt: skip


class NewKey(NamedTuple):
    """A fresh key: `secret` is for the tenant's eyes, once; the others are stored."""

    secret: str
    prefix: str
    digest: str


def generate() -> NewKey:
    """A key of 256 random bits."""
    secret = PREFIX + secrets.token_urlsafe(32)
    return NewKey(secret, secret[:SHOWN_CHARS], digest(secret))


def digest(secret: str) -> str:
    """SHA-256 in hex. The key is random, so a fast hash is no weakness (there is nothing to guess)."""
    return hashlib.sha256(secret.encode()).hexdigest()


def from_authorization(header: str | None) -> str | None:
    """The key out of an `Authorization: Bearer …` header, or None if there is none."""
    if not header:
        return None
    scheme, _, secret = header.partition(" ")
    secret = secret.strip()
    return secret if scheme.lower() == "bearer" and secret else None
