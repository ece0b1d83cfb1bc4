"""`manage.py replay_decisions`: makes every stored scaling decision again from its inputs, and tells of those that differ."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from orchestrator.models import Pool, ScalingDecision
from orchestrator.policies.demand import counted
from orchestrator.replay import NotStored, differences


class Command(BaseCommand):
    """Exit code 1 if one differs. What an older version decided, or stored without all inputs, is counted, and is no difference."""

    help = "Make stored scaling decisions again from their inputs."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--pool", help="only this pool's, by its slug")

    def handle(self, *args: Any, **options: Any) -> None:
        decisions = ScalingDecision.objects.select_related("pool").order_by("at")
        if slug := options["pool"]:
            if not Pool.objects.filter(slug=slug).exists():
                raise CommandError(f"There is no pool {slug!r}.")
            decisions = decisions.filter(pool__slug=slug)
        again = differ = unstored = 0
        for one in decisions.iterator(chunk_size=500):
            try:
                found = differences(one.signals, current=one.current, desired=one.desired, reason=one.reason)
            except NotStored:
                unstored += 1
                continue
            again += 1
            if found:
                differ += 1
                self.stdout.write(f"{one.pool.slug}, {one.at.isoformat()} ({one.pk}): {'; '.join(found)}")
        rest = f", {unstored} by an older version" if unstored else ""
        self.stdout.write(f"{counted(again, 'decision')} made again, {differ} differ{rest}")
        if differ:
            sys.exit(1)
