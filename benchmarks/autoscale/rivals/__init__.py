"""How others scale, written from their definitions, each with its defaults and other settings: `contestants`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.autoscale.fleet import Sample, Scaler, Scene
from benchmarks.autoscale.rivals.dynamo import Dynamo
from benchmarks.autoscale.rivals.keda import Keda
from benchmarks.autoscale.rivals.knative import Knative
from benchmarks.autoscale.rivals.langgraph import LangGraph
from benchmarks.autoscale.rivals.ray_serve import RayServe
from benchmarks.autoscale.rivals.skyserve import SkyServe


@dataclass(frozen=True)
class Fixed:
    """Always so many."""

    workers: int

    @property
    def name(self) -> str:
        """With its size."""
        return f"fixed {self.workers}"

    def desired(self, sample: Sample) -> int:
        """Whatever happens."""
        return self.workers


Maker = Callable[[], Scaler]


def contestants(scene: Scene) -> Iterator[tuple[str, Maker]]:
    """Family and maker of each: first its defaults, then other settings."""
    slots, prefill = float(scene.slots), scene.speed.prefill_tokens_per_s
    for workers in range(1, 9):
        yield "fixed", lambda n=workers: Fixed(n)
    for more in ({}, {"utilization": 0.3}, {"utilization": 0.5}, {"utilization": 1.0}, {"stable_s": 180.0, "panic_s": 18.0},
                 {"stable_s": 300.0, "panic_s": 30.0}, {"stable_s": 600.0, "panic_s": 6.0, "utilization": 0.5},
                 {"stable_s": 30.0, "panic_s": 3.0}, {"panic_threshold": 1.1, "stable_s": 300.0, "panic_s": 3.0}):  # fmt: skip
        yield "Knative", lambda m=more: Knative(slots, **m)
    yield "AIBrix", lambda: Knative(slots, stable_s=180.0, panic_s=60.0, up=2.0, label="AIBrix")
    for more in ({}, {"target": slots}, {"target": slots / 2}, {"target": 2 * slots}, {"poll_s": 5.0, "target": slots},
                 {"poll_s": 5.0, "target": slots, "stabilization_s": 60.0, "cooldown_s": 60.0},
                 {"poll_s": 5.0, "target": slots, "stabilization_s": 600.0, "cooldown_s": 600.0}):  # fmt: skip
        yield "KEDA", lambda m=more: Keda(**m)
    for more in ({}, {"target": slots / 2}, {"target": slots}, {"target": slots, "up_s": 0.0, "look_back_s": 5.0},
                 {"target": slots / 2, "up_s": 0.0, "look_back_s": 5.0}, {"target": slots, "up_s": 3.0, "down_s": 60.0},
                 {"target": slots, "up_s": 0.0, "down_s": 300.0, "look_back_s": 2.0}):  # fmt: skip
        yield "Ray Serve", lambda m=more: RayServe(**m)
    for more in ({}, {"target_qps": 2.0}, {"target_qps": 5.0}, {"up_s": 20.0, "down_s": 300.0, "target_qps": 5.0},
                 {"up_s": 20.0, "down_s": 600.0, "target_qps": 3.0}, {"queue_length": 10},
                 {"queue_length": 10, "up_s": 20.0, "down_s": 300.0}, {"queue_length": 1, "up_s": 20.0, "down_s": 600.0},
                 {"queue_length": 0, "up_s": 20.0, "down_s": 1200.0}):  # fmt: skip
        yield "SkyServe", lambda m=more: SkyServe(**m)
    for more in ({}, {"first_token_s": 1.0}, {"first_token_s": 2.0}, {"first_token_s": 5.0}, {"first_token_s": 0.2},
                 {"first_token_s": 5.0, "interval_s": 30.0, "down_share": 0.3}):  # fmt: skip
        yield "Dynamo", lambda m=more: Dynamo(prefill, **m)
    for more in ({}, {"down_s": 300.0}, {"down_s": 60.0}, {"per_worker": slots, "down_s": 300.0},
                 {"per_worker": 5.0, "down_s": 300.0}, {"per_worker": 2 * slots, "down_s": 600.0}):  # fmt: skip
        yield "LangGraph", lambda m=more: LangGraph(**m)
