"""`manage.py quickstart`: a pool with the demo model, a tenant, an agent and a key, for the first call."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection, transaction

from agents.models import Agent
from agents.services import create_agent
from orchestrator.models import Pool, ScalingPolicy
from tenants.models import Tenant
from tenants.services import create_tenant, issue_key


class Command(BaseCommand):
    """Make what is missing; each run issues a new key."""

    help = "Make a pool with the demo model, a tenant, an agent and an API key, and print the key."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--pool", default="verse")
        parser.add_argument("--tenant", default="globe")
        parser.add_argument("--agent", default="bard")
        parser.add_argument(
            "--url", default="http://127.0.0.1:8000", help="where the service is, for the lines printed"
        )

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        if Pool._meta.db_table not in connection.introspection.table_names():
            raise CommandError("There is no service here yet: start it first (make up), with the same OPSITE_DATA_DIR.")
        pool, is_new = Pool.objects.get_or_create(
            slug=options["pool"],
            defaults={
                "name": "The demo model",
                "engine": Pool.Engine.TRANSFORMERS,
                "model": str(settings.BASE_DIR / "models" / "opsite-verse"),
                "engine_args": {"threads": 1},
                "default_params": {"temperature": 0.8, "top_p": 0.95},
            },
        )
        if is_new:
            try:
                pool.full_clean()
            except ValidationError as error:
                raise CommandError("--pool: " + " ".join(error.messages)) from None
            ScalingPolicy.objects.create(pool=pool)
        tenant = Tenant.objects.filter(slug=options["tenant"]).first()
        if tenant is None:
            tenant = create_tenant(slug=options["tenant"], name=options["tenant"].title())
        if not Agent.objects.for_tenant(tenant).filter(slug=options["agent"]).exists():
            create_agent(
                tenant=tenant,
                slug=options["agent"],
                name=options["agent"].title(),
                pool=pool,
                system_prompt="You speak as the players spoke.",
                created_by="quickstart",
            )
        key = issue_key(tenant=tenant, name="quickstart").secret
        self.stdout.write(
            f"pool {pool.slug}, tenant {tenant.slug}, agent {options['agent']}; the key, shown this once:"
        )
        self.stdout.write(f"export OPSITE_URL={options['url']} OPSITE_KEY={key}")
        self.stdout.write("export OPENAI_BASE_URL=$OPSITE_URL/v1 OPENAI_API_KEY=$OPSITE_KEY")
