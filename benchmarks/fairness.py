"""Does one tenant's flood reach the others? First come, first served against the fair queue, side by side on one real Redis.

    python -m benchmarks.fairness --rounds 3 --assert

Three loads, each in both orders in every round, and the price of the order:

* Flood: nine tenants ask together for 40% of the fleet's capacity, one asks for 50 times what each of the nine does. The nine's
  wait runs from the moment when a turn was due to be submitted to its claim. A third run, without the flood, shows what is
  felt of it. Shares are of the tokens of the turns that ended while the flood lasted.
* Backlog: ten tenants of equal weight always have turns waiting, one of them 50 times as many. Jain's index of their tokens.
* Weights: three tenants, of weights 1, 2 and 4, have as many turns waiting.
* Claim: Redis' own time for the claim's script, per turn, at growing numbers of waiting turns and of tenants.

First come, first served is the same code with all turns in one tenant's line (`benchmarks.fair_load`). The workers are declared
stand-ins (`simulated` engine) in real worker processes, several to a process. Answers vary in length, and the queue's estimates
are the service's own, made from prompt and budget: they are off by up to a half, both ways.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.claim_cost import claim_cost
from benchmarks.fair_load import FLOOD, Flood, Order, Plan, backlog, flood
from benchmarks.machine import command, machine, quantile, spread
from opsite.embedded.redis import EmbeddedRedis

ORDERS: tuple[Order, ...] = ("arrival", "fair")
WORDS = {"arrival": "first come, first served", "fair": "fair queue", "alone": "fair queue, no flood"}
WEIGHTS = {"weight1": 1.0, "weight2": 2.0, "weight4": 4.0}

JAIN_MIN = 0.98
WEIGHT_ERROR_MAX = 0.05
CLAIM_GROWTH_MAX = 2.0
"""From the shortest line to the longest: a logarithm's doublings stay far below the line's growth."""


@dataclass
class Results:
    """All rounds, by order."""

    floods: dict[str, list[Flood]] = field(default_factory=lambda: {name: [] for name in WORDS})
    equals: dict[str, list[Counter[str]]] = field(default_factory=lambda: {name: [] for name in ORDERS})
    weighted: dict[str, list[Counter[str]]] = field(default_factory=lambda: {name: [] for name in ORDERS})
    claims: dict[tuple[int, int], list[float]] = field(default_factory=dict)


def jain(values: Iterable[float]) -> float:
    """Jain's index: 1 if all are equal, 1/n if one of n has all."""
    shares = list(values)
    squares = len(shares) * sum(share * share for share in shares)
    return sum(shares) ** 2 / squares if squares else 0.0


def weight_error(tokens: Mapping[str, float]) -> float:
    """The largest deviation of a share from what its weight says, relative to that."""
    total, weights = sum(tokens.values()), sum(WEIGHTS.values())
    return max(abs(tokens[name] / total / (weight / weights) - 1) for name, weight in WEIGHTS.items())


async def one_round(url: str, results: Results, seed: int, plan: Plan, options: argparse.Namespace) -> None:
    """Each load in both orders, then the claims."""
    times = {"arrival": plan.flood_times, "fair": plan.flood_times, "alone": 0.0}
    for name, runs in results.floods.items():
        order: Order = "arrival" if name == "arrival" else "fair"
        runs.append(await flood(url, plan=plan, order=order, times=times[name], seed=seed))
    served = plan.turns_per_s * plan.seconds
    equal = {**{f"quiet{nth}": int(served / 5) for nth in range(1, 10)}, FLOOD: int(served / 5 * plan.flood_times)}
    weighted = dict.fromkeys(WEIGHTS, int(served))
    for order in ORDERS:
        even = dict.fromkeys(equal, 1.0)
        results.equals[order].append(await backlog(url, plan=plan, order=order, turns=equal, weights=even, seed=seed))
        results.weighted[order].append(
            await backlog(url, plan=plan, order=order, turns=weighted, weights=WEIGHTS, seed=seed)
        )
    for waiting in options.waiting:
        for tenants in (tenants for tenants in options.tenants if tenants <= waiting):
            cost = claim_cost(url, waiting=waiting, tenants=tenants, claims=options.claims)
            results.claims.setdefault((waiting, tenants), []).append(cost)


async def all_rounds(plan: Plan, options: argparse.Namespace, console: Console) -> Results:
    """One Redis in a folder of its own for the whole run."""
    folder = Path(tempfile.mkdtemp(prefix="opsite-fairness-"))
    server = EmbeddedRedis(folder)
    url = server.start()
    results = Results()
    try:
        for number in range(options.rounds):
            console.print(f"round {number + 1} of {options.rounds}")
            await one_round(url, results, number, plan, options)
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return results


def report(console: Console, results: Results, rounds: int, bound: float) -> None:
    """The tables: medians over the rounds, with lowest and highest."""
    console.print(f"medians of {rounds} rounds [lowest–highest]")
    table = Table(title="Flood: the nine's wait, ms; shares of all tokens, %")
    for name in ("order", "wait p50", "wait p99", "the flood's share", "the nine's shares, from", "to"):
        table.add_column(name, justify="left" if name == "order" else "right")
    for name, runs in results.floods.items():
        nine = [sorted(_shares(run.tokens, without=FLOOD)) for run in runs]
        table.add_row(
            WORDS[name],
            *(spread([1000 * quantile(run.waits_s, q) for run in runs], 0) for q in (0.5, 0.99)),
            spread([100 * run.tokens[FLOOD] / run.tokens.total() for run in runs]),
            spread([one[0] for one in nine]), spread([one[-1] for one in nine]),
        )  # fmt: skip
    console.print(table)

    table = Table(title=f"Backlog: shares of the tokens, %; largest difference, tokens (bound of theory: {bound:.0f})")
    tenants = sorted(results.equals["fair"][0])
    for name in ("order", *tenants, "Jain's index", "difference"):
        table.add_column(name.replace("quiet", ""), justify="left" if name == "order" else "right")
    for order, equals in results.equals.items():
        shares = [statistics.median(100 * run[tenant] / run.total() for run in equals) for tenant in tenants]
        index = spread([jain(run.values()) for run in equals], 4)
        differences = [max(run.values()) - min(run.values()) for run in equals]
        table.add_row(WORDS[order], *(f"{share:.1f}" for share in shares), index, spread(differences, 0))
    console.print(table)

    table = Table(title="Weights: each tenant's share of the tokens, %, and the largest deviation from its weight, %")
    for name in ("order", "1 (14.3 due)", "2 (28.6 due)", "4 (57.1 due)", "deviation"):
        table.add_column(name, justify="left" if name == "order" else "right")
    for order, weighted in results.weighted.items():
        shares_of = [spread([100 * run[tenant] / run.total() for run in weighted]) for tenant in WEIGHTS]
        table.add_row(WORDS[order], *shares_of, spread([100 * weight_error(run) for run in weighted]))
    console.print(table)

    table = Table(title="Claim: Redis' time per claimed turn, µs")
    for name in ("waiting turns", "tenants", "µs"):
        table.add_column(name, justify="right")
    for (waiting, tenants_), costs in results.claims.items():
        table.add_row(f"{waiting:,}", f"{tenants_:,}", spread(costs))
    console.print(table)


def _shares(tokens: Counter[str], *, without: str) -> list[float]:
    return [100 * count / tokens.total() for tenant, count in tokens.items() if tenant != without]


def missed(results: Results) -> list[str]:
    """The bounds that this run does not keep, by the medians of its rounds."""
    median = statistics.median
    fair_p99 = median(quantile(run.waits_s, 0.99) for run in results.floods["fair"])
    arrival_p50 = median(quantile(run.waits_s, 0.5) for run in results.floods["arrival"])
    index = median(jain(run.values()) for run in results.equals["fair"])
    error = median(weight_error(run) for run in results.weighted["fair"])
    costs = [median(costs) for costs in results.claims.values()]
    bounds = {
        f"the nine's p99 under the fair queue, {fair_p99:.2f} s, is below their p50 in order of arrival, {arrival_p50:.2f} s":
            fair_p99 < arrival_p50,
        f"Jain's index {index:.4f} is at least {JAIN_MIN}": index >= JAIN_MIN,
        f"shares are within {WEIGHT_ERROR_MAX:.0%} of their weights, not {error:.1%} off": error <= WEIGHT_ERROR_MAX,
        f"a claimed turn costs at most {CLAIM_GROWTH_MAX:g} times as much in the longest line as in the shortest, not "
        f"{max(costs) / costs[0]:.2f}": max(costs) <= CLAIM_GROWTH_MAX * costs[0],
    }  # fmt: skip
    return [bound for bound, kept in bounds.items() if not kept]


def main() -> None:
    """The command line. Exit code 1: `--assert`, and a bound was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--processes", type=int, default=2, help="processes over which the workers are spread")
    parser.add_argument("--slots", type=int, default=8, help="turns that a worker runs at once")
    parser.add_argument("--step-s", type=float, default=0.02, help="time of one engine step")
    parser.add_argument("--seconds", type=float, default=12.0, help="how long a load lasts")
    parser.add_argument("--flood", type=float, default=50.0, help="the flood's load, in loads of one of the nine")
    parser.add_argument("--waiting", nargs="+", type=int, default=[10, 1_000, 100_000], help="lines for the claims")
    parser.add_argument("--tenants", nargs="+", type=int, default=[10, 1_000], help="tenants for the claims")
    parser.add_argument("--claims", type=int, default=300, help="claims measured per line")
    parser.add_argument("--quick", action="store_true", help="some seconds only: no figures to quote")
    parser.add_argument("--assert", action="store_true", dest="asserted", help="exit 1 when a bound is missed")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds, options.claims, options.waiting = 1, 4.0, 50, [10, 1_000]
    console = Console(width=160)
    console.print(f"command: {command()}\nmachine: {machine()}", highlight=False)
    plan = Plan(
        workers=options.workers, processes=options.processes, slots=options.slots, step_s=options.step_s,
        seconds=options.seconds, flood_times=options.flood,
    )  # fmt: skip
    console.print(f"capacity by the speed model: {plan.turns_per_s:.0f} turns/s", highlight=False)
    results = asyncio.run(all_rounds(plan, options, console))
    report(console, results, options.rounds, plan.difference_bound())
    failures = missed(results)
    for bound in failures:
        console.print(f"missed: {bound}", style="red")
    if options.asserted and failures:
        sys.exit(1)


if __name__ == "__main__":
    main()
