"""A pool's recorded demand as a trace: what came in of it minute by minute, from Postgres, in the columns of any trace.

The tokens are the minute's mean, in prompt and answer by a share that is given, since the queue's estimate knows only their sum. A
minute that nobody saw is silent here, and is told of.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.autoscale.loads import COLUMNS
from orchestrator.history.minutes import MINUTE_S, Minute
from orchestrator.history.seasons import STEP_S
from orchestrator.policies.demand import Policy
from orchestrator.rehearsal.load import Load


class NothingRecorded(Exception):
    """There is no such pool, or none of its demand is recorded in the time asked for."""


@dataclass(frozen=True)
class Recorded:
    """`minutes` of the pool's last hours, its `policy`, its `slots`, and `past`: turns/s before them by step of Unix time."""

    pool: str
    minutes: Sequence[Minute]
    policy: Policy
    slots: int
    past: Mapping[int, float]

    @property
    def missing(self) -> int:
        """Minutes between the first and the last of which nothing is known."""
        span_s = self.minutes[-1].begins_at - self.minutes[0].begins_at
        return span_s // MINUTE_S + 1 - len(self.minutes)


def recorded(pool: str, *, hours: float) -> Recorded:
    """The pool's last `hours` that are recorded, out of the database of the service's settings."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opsite.settings")
    import django

    django.setup()
    from django.db import connections

    from orchestrator import records
    from orchestrator.demand_rows import DemandMinute
    from orchestrator.history.book import minute_of
    from orchestrator.history.forecasts import LOOK_BACK_S, rates
    from orchestrator.models import Pool

    row = Pool.objects.select_related("policy").filter(slug=pool).first()
    if row is None:
        raise NothingRecorded(f"There is no pool {pool!r}.")
    last = DemandMinute.objects.filter(pool=row).order_by("-minute").first()
    if last is None:
        raise NothingRecorded(f"Nothing is recorded yet of pool {pool!r}: its demand is, while an orchestrator runs.")
    begin = last.minute.timestamp() + MINUTE_S - hours * 3600
    minutes = DemandMinute.objects.filter(pool=row, minute__gte=records.moment(begin)).order_by("minute")
    if not any(one.arrived for one in minutes):
        raise NothingRecorded(f"Nothing came in of pool {pool!r} in the last {hours:g} hours that are recorded.")
    steps = rates(row.pk, step_s=STEP_S, since=begin - LOOK_BACK_S)
    found = Recorded(
        pool=pool,
        minutes=[minute_of(one) for one in minutes],
        policy=records.policy_of(row),
        slots=row.slots,
        past={step: rate for step, rate in steps.items() if (step + 1) * STEP_S <= begin},
    )
    connections.close_all()
    return found


def write_trace(load: Load, *, begins_at: float, path: Path) -> None:
    """As a file that `--trace` takes."""
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(COLUMNS)
        for request in load.requests:
            moment = datetime.fromtimestamp(begins_at + request.at, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
            rows.writerow([moment, request.prompt_tokens, request.output_tokens])
