"""What keeps tenants apart in an engine's prefix cache: a salt for each tenant, which nobody outside can know or choose.

An engine that caches prefixes answers sooner where it has seen a prompt's beginning before, so its speed tells what others
have asked. With the salt in the hash of each block, two tenants never share one. It is an HMAC, because tenants' ids are no secret.
"""

from __future__ import annotations

import hashlib
import hmac


def cache_salt(key: str, tenant: str) -> str:
    """The tenant's salt in hexadecimal digits, the same on all workers that were given the same key."""
    return hmac.new(key.encode(), tenant.encode(), hashlib.sha256).hexdigest()
