"""Sampling parameters: their ranges, and layering a task's over its agent's over its pool's. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from agents.problems import bad_field
from taskqueue.messages import SamplingParams

RANGES: dict[str, tuple[float, float]] = {
    "max_tokens": (1, 1_000_000),
    "temperature": (0.0, 2.0),
    "top_p": (0.0, 1.0),
    "top_k": (0, 1_000_000),
    "logprobs": (0, 20),
    "seed": (-(2**63), 2**63 - 1),
}
STOPS_MAX = 16


def validated(params: dict[str, Any], *, field: str = "parameters") -> SamplingParams:
    """The parameters as the queue's struct, or a problem that names the one that does not fit."""
    known = SamplingParams.__struct_fields__
    for name, value in params.items():
        if name not in known:
            raise bad_field(f"{field}.{name}", f"unknown; known are {', '.join(known)}")
        low, high = RANGES.get(name, (None, None))
        if low is not None and high is not None and isinstance(value, int | float) and not low <= value <= high:
            raise bad_field(f"{field}.{name}", f"must be between {low} and {high}, not {value}")
    for name, value in params.items():
        try:
            msgspec.convert({name: value}, SamplingParams)
        except msgspec.ValidationError as error:
            raise bad_field(f"{field}.{name}", str(error).split(" - at")[0]) from error
    sampling = msgspec.convert(params, SamplingParams)
    if len(sampling.stop) > STOPS_MAX:
        raise bad_field(f"{field}.stop", f"at most {STOPS_MAX} strings")
    if "" in sampling.stop:
        raise bad_field(f"{field}.stop", "an empty string would stop every answer at once")
    return sampling


def layered(*layers: dict[str, Any]) -> dict[str, Any]:
    """Later layers stand over earlier ones; None counts as unset."""
    merged: dict[str, Any] = {}
    for layer in layers:
        merged.update({name: value for name, value in layer.items() if value is not None})
    return merged
