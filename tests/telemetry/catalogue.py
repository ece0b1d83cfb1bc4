"""Every metric that there is, as the code defines it."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client.metrics import MetricWrapperBase

from orchestrator import measured
from telemetry.metrics import celery, effects, orchestrator, recorder, web

SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}


@dataclass(frozen=True)
class Described:
    """`name` as PromQL has it, of a histogram without its suffixes."""

    name: str
    kind: str
    labels: tuple[str, ...]
    of: str
    help: str

    @property
    def series(self) -> list[str]:
        """The names that a query may use."""
        if self.kind == "counter":
            return [self.name]
        return [self.name + suffix for suffix in SUFFIXES[self.kind]]


def catalogue() -> list[Described]:
    """In the order of the code: web, recorder, effects, celery, orchestrator, then pools and workers."""
    found = []
    for process in (web, recorder, effects, celery, orchestrator):
        for metric in vars(process).values():
            if isinstance(metric, MetricWrapperBase):
                suffix = "_total" if metric._type == "counter" else ""
                of = process.__name__.split(".")[-1]
                found.append(
                    Described(metric._name + suffix, metric._type, metric._labelnames, of, metric._documentation)
                )
    for family in measured.FleetMetrics().describe():
        suffix = "_total" if family.type == "counter" else ""
        labels = tuple(family._labelnames)  # type: ignore[attr-defined]
        found.append(
            Described(family.name + suffix, family.type, labels, "orchestrator (leader)", family.documentation)
        )
    return found
