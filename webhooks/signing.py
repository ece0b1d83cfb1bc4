"""A message as the Standard Webhooks specification wants it: its body, and its headers with a signature for each secret. Pure.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime

from standardwebhooks import Webhook

SECRET_PREFIX = "whsec_"  # noqa: S105 - what every such secret begins with
SECRET_BYTES = 32


def secret_of(random: bytes) -> str:
    """A secret in the specification's form, of `SECRET_BYTES` random ones (it allows 24 to 64)."""
    return SECRET_PREFIX + base64.b64encode(random).decode()


def message_id(delivery: uuid.UUID) -> str:
    """The message's id: the same for every attempt, so that who hears it twice can tell."""
    return f"msg_{delivery.hex}"


def headers(*, delivery: uuid.UUID, at: datetime, body: bytes, secrets: Sequence[str]) -> dict[str, str]:
    """The headers of one attempt. With two secrets there are two signatures; any one that fits is enough for the receiver."""
    moment = at.astimezone(UTC)
    signatures = [Webhook(secret).sign(message_id(delivery), moment, body.decode()) for secret in secrets]
    return {
        "content-type": "application/json",
        "webhook-id": message_id(delivery),
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
