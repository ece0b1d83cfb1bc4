"""What a worker is given to know: its own way into Redis, and its pool's key for salts. Pure.

All of it is derived (HMAC-SHA256) from the service's secret key, so it is stored nowhere: whoever leads next, or finds Redis
restarted and its users forgotten, derives the same again.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Kept out of every representation: they belong into a worker's environment and nowhere else."""

    redis_url: str = field(repr=False)
    cache_salt_key: str = field(repr=False)


def users_of(stack: str) -> str:
    """How the names of a stack's users begin. Names are quoted: Redis allows no space in a user's."""
    return f"worker:{quote(stack, safe='')}:"


def user_of(stack: str, worker: str) -> str:
    """The worker's user in Redis."""
    return users_of(stack) + quote(worker, safe="")


def password(secret: str, *, stack: str, worker: str) -> str:
    """The password of a worker's user, in hexadecimal digits."""
    return _derived(secret, "worker's password", stack, worker)


def cache_salt_key(secret: str, *, pool: str) -> str:
    """The key by which all workers of a pool salt their prefix caches alike."""
    return _derived(secret, "pool's cache salt key", pool)


def with_user(redis_url: str, *, user: str, password: str) -> str:
    """The same address for another user; whoever it named before is taken out."""
    parts = urlsplit(redis_url)
    host = parts.netloc.rpartition("@")[2]
    options = [(name, value) for name, value in parse_qsl(parts.query) if name not in ("username", "password")]
    netloc = f"{quote(user, safe='')}:{password}@{host}"
    return urlunsplit(parts._replace(netloc=netloc, query=urlencode(options)))


def _derived(secret: str, *purpose: str) -> str:
    """Each purpose has digits of its own; the zero byte keeps its words apart."""
    return hmac.new(secret.encode(), "\0".join(("opsite", *purpose)).encode(), hashlib.sha256).hexdigest()
