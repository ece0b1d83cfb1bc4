"""`manage.py reencrypt_secrets`: what tenants keep secret, under the newest of OPSITE_SECRETS_KEYS."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from tenants.secrets import reseal_secrets
from webhooks.services import reseal_endpoints


class Command(BaseCommand):
    """After it the older keys may go. It may run while the service does, and again."""

    help = "Encrypt all tenants' secrets anew with the first key of OPSITE_SECRETS_KEYS."

    def handle(self, *args: Any, **options: Any) -> None:
        secrets, endpoints = reseal_secrets(), reseal_endpoints()
        self.stdout.write(
            f"{secrets} secrets and those of {endpoints} webhooks were encrypted anew; older keys may be taken away."
        )
