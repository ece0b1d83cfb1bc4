"""What arrives: a recorded trace, or a generated load. A load is a list of requests in the order of their arrival."""

from __future__ import annotations

import csv
import math
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from functools import cache
from pathlib import Path

from orchestrator.rehearsal.load import Load, Request

COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
AZURE = Path(__file__).resolve().parent.parent / "traces" / "azure_llm_code_2023.csv"
MICROSECONDS = 6


class BadTrace(Exception):
    """A trace that cannot be read: the message names the file, the line, and what is expected there."""


def read_trace(path: Path) -> Load:
    """A CSV file with the columns of the Azure LLM traces; a cell that does not parse raises `BadTrace`."""
    with path.open(newline="") as file:
        rows = csv.DictReader(file)
        if not set(COLUMNS) <= set(rows.fieldnames or ()):
            raise BadTrace(f"{path}: the first line must name the columns {', '.join(COLUMNS)}.")
        found: list[Request] = []
        begin: float | None = None
        for number, row in enumerate(rows, start=2):
            try:
                at = _moment(row["TIMESTAMP"])
                prompt, output = int(row["ContextTokens"]), int(row["GeneratedTokens"])
            except (TypeError, ValueError) as error:
                raise BadTrace(f"{path}, line {number}: {error}.") from None
            begin = at if begin is None else begin
            found.append(Request(at - begin, max(1, prompt), max(1, output)))
    if not found:
        raise BadTrace(f"{path}: there is no request in it.")
    found.sort(key=lambda request: request.at)
    first = found[0].at
    moved = [replace(request, at=request.at - first) for request in found]
    return Load(path.stem, moved, moved[-1].at + 1.0)


def _moment(text: str) -> float:
    """The traces write seven digits of a second; Python reads six."""
    whole, dot, fraction = text.strip().partition(".")
    digits = fraction.rstrip("Z")[:MICROSECONDS].ljust(MICROSECONDS, "0")
    return datetime.fromisoformat(f"{whole}.{digits}" if dot else whole).timestamp()


def poisson(
    name: str,
    rate: Callable[[float], float],
    *,
    peak: float,
    ends_at: float,
    seed: int = 1,
    prompt_tokens: int = 512,
    output_tokens: int = 128,
    tenants: Mapping[str, float] | None = None,
) -> Load:
    """Arrivals at `rate(t)` per second (at most `peak`), by thinning (Lewis and Shedler, 1979); lengths are exponential.

    `tenants`: their shares of the arrivals.
    """
    dice = random.Random(seed)
    names = tenants or {"one": 1.0}

    def arrivals() -> Iterator[Request]:
        at = 0.0
        while (at := at + dice.expovariate(peak)) < ends_at:
            if dice.random() * peak < rate(at):
                prompt = 1 + round(dice.expovariate(1 / prompt_tokens))
                output = 1 + round(dice.expovariate(1 / output_tokens))
                (tenant,) = dice.choices(list(names), list(names.values()))
                yield Request(at, prompt, output, tenant)

    return Load(name, list(arrivals()), ends_at)


def steps(seed: int = 1) -> Load:
    """Ten minutes at each of several levels, up and down."""
    levels = (1.0, 4.0, 12.0, 4.0, 16.0, 1.0)
    return poisson("steps", lambda at: levels[min(int(at // 600), 5)], peak=16.0, ends_at=3600.0, seed=seed)


def spikes(seed: int = 1) -> Load:
    """A quiet service that gets ten times its load for two minutes, every quarter of an hour."""
    return poisson("spikes", lambda at: 15.0 if at % 900 >= 780 else 1.5, peak=15.0, ends_at=3600.0, seed=seed)


def daily(seed: int = 1) -> Load:
    """Days of an hour each: two waves between 0.5 and 12 requests per second."""
    return poisson(
        "daily", lambda at: 6.25 - 5.75 * math.cos(2 * math.pi * at / 3600), peak=12.0, ends_at=7200.0, seed=seed
    )


def tenants(seed: int = 1) -> Load:
    """A steady tenant, a wavy one, and one that comes in bursts."""
    shares = {"steady": 0.4, "wavy": 0.4, "bursty": 0.2}

    def rate(at: float) -> float:
        burst = 10.0 if at % 700 < 40 else 0.0
        return 2.0 + 2.0 * (1 + math.sin(2 * math.pi * at / 1200)) / 2 + burst

    return poisson("tenants", rate, peak=14.0, ends_at=3600.0, seed=seed, tenants=shares)


GENERATED: Mapping[str, Callable[[int], Load]] = {"steps": steps, "spikes": spikes, "daily": daily, "tenants": tenants}


# -- the same form, other figures ------------------------------------------------------------------
def faster(load: Load, factor: float) -> Load:
    """The same requests in less time: every moment divided by `factor`."""
    moved = [replace(request, at=request.at / factor) for request in load.requests]
    return Load(load.name, moved, load.ends_at / factor)


def thinned(load: Load, share: float, seed: int = 1) -> Load:
    """A `share` of the requests, by chance."""
    dice = random.Random(seed)
    return Load(load.name, [request for request in load.requests if dice.random() < share], load.ends_at)


def backward(load: Load) -> Load:
    """The last one comes first."""
    moved = [replace(request, at=load.requests[-1].at - request.at) for request in reversed(load.requests)]
    return Load(load.name, moved, load.ends_at)


def doubled(load: Load) -> Load:
    """Two such services at once: the second begins in the middle."""
    half = load.ends_at / 2
    moved = [replace(request, at=(request.at + half) % load.ends_at) for request in load.requests]
    return Load(load.name, sorted((*load.requests, *moved), key=lambda one: one.at), load.ends_at)


VARIATIONS: Mapping[str, Callable[[Load], Load]] = {
    "slow": lambda load: faster(load, 0.6),
    "fast": lambda load: faster(load, 1.7),
    "half": lambda load: thinned(load, 0.5),
    "backward": backward,
    "doubled": doubled,
}
"""Loads of the same form that no policy was fitted to."""


@cache
def named(name: str) -> Load:
    """`azure`, a generated load, or a trace's path; after a `/`, a variation (`seed2` makes a generated load anew).

    `drawn/SEED/NUMBER`: one that `drawn` makes.
    """
    if name.startswith("drawn/"):
        from benchmarks.autoscale.drawn import drawn  # which is made of what stands here

        _, seed, number = name.split("/")
        return replace(drawn(int(seed), int(number)), name=name)
    stem, _, variation = name.rpartition("/") if name.rpartition("/")[2] in (*VARIATIONS, "seed2") else (name, "", "")
    if variation == "seed2":
        return replace(GENERATED[stem](2), name=name)
    load = read_trace(AZURE) if stem == "azure" else GENERATED[stem](1) if stem in GENERATED else read_trace(Path(stem))
    return replace(VARIATIONS[variation](load) if variation else load, name=name)
