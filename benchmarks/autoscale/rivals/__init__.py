"""How others scale, written from their definitions, each with its defaults and other settings: `contestants`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks.autoscale.rivals.dynamo import Dynamo
from benchmarks.autoscale.rivals.keda import Keda
from benchmarks.autoscale.rivals.knative import Knative
from benchmarks.autoscale.rivals.langgraph import LangGraph
from benchmarks.autoscale.rivals.ray_serve import RayServe
from benchmarks.autoscale.rivals.skyserve import SkyServe
from orchestrator.rehearsal.scene import Sample, Scaler, Scene


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
Settings = dict[str, Any]


def contestants(scene: Scene) -> Iterator[tuple[str, Maker]]:
    """Family and maker of each: first its defaults, then other settings."""
    slots, prefill = float(scene.slots), scene.speed.prefill_tokens_per_s
    for workers in range(1, 9):
        yield "fixed", partial(Fixed, workers)
    for family, maker, tries in families(slots):
        for settings in tries:
            yield family, partial(maker, slots, **settings) if maker is Knative else partial(maker, **settings)
    for settings in DYNAMO:
        yield "Dynamo", partial(Dynamo, prefill, **settings)


def families(slots: float) -> list[tuple[str, Callable[..., Scaler], list[Settings]]]:
    """The settings that are tried; those of concurrency are written by the slots of a worker."""
    knative: list[Settings] = [
        {},
        {"utilization": 0.3},
        {"utilization": 0.5},
        {"utilization": 1.0},
        {"stable_s": 30.0, "panic_s": 3.0},
        {"stable_s": 180.0, "panic_s": 18.0},
        {"stable_s": 300.0, "panic_s": 30.0},
        {"stable_s": 600.0, "panic_s": 6.0, "utilization": 0.5},
        {"stable_s": 300.0, "panic_s": 3.0, "panic_threshold": 1.1},
    ]
    aibrix: Settings = {"panic_s": 60.0, "up": 2.0, "label": "AIBrix"}
    quick: Settings = {"poll_s": 5.0, "target": slots}
    keda: list[Settings] = [
        {},
        {"target": slots / 2},
        {"target": slots},
        {"target": 2 * slots},
        quick,
        {**quick, "stabilization_s": 60.0, "cooldown_s": 60.0},
        {**quick, "stabilization_s": 600.0, "cooldown_s": 600.0},
    ]
    ray: list[Settings] = [
        {},
        {"target": slots / 2},
        {"target": slots},
        {"target": slots / 2, "up_s": 0.0, "look_back_s": 5.0},
        {"target": slots, "up_s": 0.0, "look_back_s": 5.0},
        {"target": slots, "up_s": 3.0, "down_s": 60.0},
        {"target": slots, "up_s": 0.0, "down_s": 300.0, "look_back_s": 2.0},
    ]
    sky: list[Settings] = [
        {},
        {"target_qps": 2.0},
        {"target_qps": 5.0},
        {"target_qps": 5.0, "up_s": 20.0, "down_s": 300.0},
        {"target_qps": 3.0, "up_s": 20.0, "down_s": 600.0},
        {"queue_length": 10},
        {"queue_length": 10, "up_s": 20.0, "down_s": 300.0},
        {"queue_length": 1, "up_s": 20.0, "down_s": 600.0},
        {"queue_length": 0, "up_s": 20.0, "down_s": 1200.0},
    ]
    langgraph: list[Settings] = [
        {},
        {"down_s": 300.0},
        {"down_s": 60.0},
        {"per_worker": slots, "down_s": 300.0},
        {"per_worker": 5.0, "down_s": 300.0},
        {"per_worker": 2 * slots, "down_s": 600.0},
    ]
    return [
        ("Knative", Knative, knative),
        ("AIBrix", Knative, [{**aibrix, "stable_s": stable_s, "utilization": use} for stable_s, use in AIBRIX]),
        ("KEDA", Keda, keda),
        ("Ray Serve", RayServe, ray),
        ("SkyServe", SkyServe, sky),
        ("LangGraph", LangGraph, langgraph),
    ]


AIBRIX = ((180.0, 0.7), (180.0, 1.0), (180.0, 0.5), (300.0, 0.7), (600.0, 0.7))
DYNAMO: tuple[Settings, ...] = (
    {},
    {"first_token_s": 0.2},
    {"first_token_s": 1.0},
    {"first_token_s": 2.0},
    {"first_token_s": 5.0},
    {"first_token_s": 5.0, "interval_s": 30.0, "down_share": 0.3},
)
