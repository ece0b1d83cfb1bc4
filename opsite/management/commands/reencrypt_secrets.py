"""`manage.py reencrypt_secrets`: what tenants keep secret, under the newest of OPSITE_SECRETS_KEYS."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from tenants.secrets import reseal_secrets


class Command(BaseCommand):
    """After it the older keys may go. It may run while the service does, and again."""

    help = "Encrypt all tenants' secrets anew with the first key of OPSITE_SECRETS_KEYS."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"{reseal_secrets()} secrets were encrypted anew; older keys may be taken away.")
