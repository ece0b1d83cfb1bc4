"""What the gateway costs: added time to first token, events per second, CPU per event, tasks per second; beside others.

    python -m benchmarks.gateway --with-litellm --rounds 3

Everything runs on this machine: our web process (with its Postgres, Redis, recorder and one simulated worker), the peers in
front of an upstream over the same simulated engine, and the load generator. Rounds are interleaved: in each, every gateway is
measured in turn at each concurrency.

*Added time to first token* is a gateway's time minus that of the same request sent directly to the upstream, at the same
percentile, concurrency and answer length, in the same round. Ours has no upstream: its engine is the worker's, and the same
direct time is subtracted. *CPU* is user and system time of the gateway's own processes (ours: the web process; Redis, Postgres
and the recorder, which a peer does not have, stand beside it).
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass, field

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.load import Measured, Plan
from benchmarks.machine import command, cpu_s, machine, quantile, spread
from benchmarks.peers import Peer, litellm, upstream, vllm_router
from benchmarks.stack import ROOT, Stack, our_stack

LENGTHS = {"short": 16, "long": 128}
FIRST_TOKEN_SHARE = 1 / 6
"""Of LiteLLM's added time to first token that ours may add at most."""
CPU_SHARE = 1 / 10
"""Of LiteLLM's CPU per event that our web process may spend at most."""


@dataclass
class Row:
    """One gateway at one concurrency and answer length, over all rounds."""

    added_p50_ms: list[float] = field(default_factory=list)
    added_p99_ms: list[float] = field(default_factory=list)
    events_per_s: list[float] = field(default_factory=list)
    tasks_per_s: list[float] = field(default_factory=list)
    cpu_per_100k: list[float] = field(default_factory=list)
    parts: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    failed: int = 0
    events: int = 0
    cpu_s: float = 0.0


Key = tuple[str, str, int]


def measure(url: str, key: str, *, concurrency: int, requests: int, max_tokens: int) -> Measured:
    """One run of the load generator in its own process."""
    plan = Plan(url=url, key=key, concurrency=concurrency, requests=requests, max_tokens=max_tokens)
    answer = subprocess.run(
        [sys.executable, "-m", "benchmarks.load", msgspec.json.encode(plan).decode()],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    return msgspec.json.decode(answer.stdout, type=Measured)


def one_round(
    rows: dict[Key, Row], ours: list[tuple[str, Stack]], peers: list[Peer], options: argparse.Namespace
) -> None:
    """Every gateway once at every concurrency and length, each beside the direct run."""
    direct = peers[0]
    for length in options.lengths:
        for concurrency in options.concurrency:
            requests = max(options.requests, concurrency * options.per_slot)
            load = {"concurrency": concurrency, "requests": requests, "max_tokens": LENGTHS[length]}
            base = measure(direct.url, direct.key, **load)
            gateways = [(name, s.url, s.key, s.web, s.parts) for name, s in ours]
            gateways += [(p.name, p.url, p.key, p.pids, {}) for p in peers]
            for name, url, key, pids, parts in gateways:
                before, parts_before = cpu_s(pids), {part: cpu_s(p) for part, p in parts.items()}
                run = measure(url, key, **load)
                row = rows[name, length, concurrency]
                row.failed += run.failed
                if run.errors:
                    print(f"  {name}: {run.errors[0]}", flush=True)
                if not run.events:
                    continue
                per_100k = 100_000 / run.events
                spent_s = cpu_s(pids) - before
                row.events, row.cpu_s = row.events + run.events, row.cpu_s + spent_s
                row.cpu_per_100k.append(spent_s * per_100k)
                for part, part_pids in parts.items():
                    row.parts[part].append((cpu_s(part_pids) - parts_before[part]) * per_100k)
                row.added_p50_ms.append((quantile(run.first_s, 0.5) - quantile(base.first_s, 0.5)) * 1000)
                row.added_p99_ms.append((quantile(run.first_s, 0.99) - quantile(base.first_s, 0.99)) * 1000)
                row.events_per_s.append(run.events / run.wall_s)
                row.tasks_per_s.append(len(run.first_s) / run.wall_s)


def report(console: Console, rows: dict[Key, Row], rounds: int) -> None:
    """The table: medians over the rounds, with lowest and highest."""
    table = Table(title=f"median of {rounds} rounds (lowest–highest)")
    for name in ("gateway", "answer", "at once", "added TTFT p50 ms", "added TTFT p99 ms", "events/s", "tasks/s",
                 "CPU s per 100,000 events", "beside it", "failed"):  # fmt: skip
        table.add_column(name, justify="left" if name in ("gateway", "answer", "beside it") else "right")
    for (name, length, concurrency), row in rows.items():
        beside = ", ".join(f"{part} {statistics.median(values):.1f}" for part, values in row.parts.items())
        table.add_row(
            name, length, str(concurrency), spread(row.added_p50_ms), spread(row.added_p99_ms), spread(row.events_per_s, 0),
            spread(row.tasks_per_s), spread(row.cpu_per_100k), beside, str(row.failed),
        )  # fmt: skip
    console.print(table)


def verdicts(rows: dict[Key, Row], gateway: str) -> list[tuple[bool, str]]:
    """Ours against LiteLLM: at most a sixth of what it adds, at most a tenth of its CPU; each line, and the whole run last."""
    found = []
    pairs: list[tuple[Row, Row]] = []
    for (name, length, concurrency), theirs in rows.items():
        ours = rows.get((gateway, length, concurrency))
        if name != "litellm" or ours is None or not theirs.events or not ours.events:
            continue
        pairs.append((ours, theirs))
        where = f"{gateway}, {length}, {concurrency} at once"
        found.append(_added(where, statistics.median(ours.added_p50_ms), statistics.median(theirs.added_p50_ms)))
        found.append(_spent(where, statistics.median(ours.cpu_per_100k), statistics.median(theirs.cpu_per_100k)))
    if pairs:
        our_rows, their_rows = [ours for ours, _ in pairs], [theirs for _, theirs in pairs]
        found.append(_added(f"{gateway}, mean of all lines", _mean_added(our_rows), _mean_added(their_rows)))
        found.append(_spent(f"{gateway}, the whole run", _total_cpu(our_rows), _total_cpu(their_rows)))
    return found


def _mean_added(rows: list[Row]) -> float:
    return statistics.fmean(statistics.median(row.added_p50_ms) for row in rows)


def _total_cpu(rows: list[Row]) -> float:
    return 100_000 * sum(row.cpu_s for row in rows) / sum(row.events for row in rows)


def _added(where: str, ours_ms: float, theirs_ms: float) -> tuple[bool, str]:
    ratio = f"1/{theirs_ms / ours_ms:.1f}" if ours_ms > 0 else "nothing beside the spread"
    return (
        ours_ms <= theirs_ms * FIRST_TOKEN_SHARE,
        f"{where}: adds {ours_ms:.1f} ms, LiteLLM {theirs_ms:.1f} ms: {ratio}",
    )


def _spent(where: str, ours_s: float, theirs_s: float) -> tuple[bool, str]:
    sentence = f"{where}: {ours_s:.1f} s of CPU per 100,000 events, LiteLLM {theirs_s:.1f} s: 1/{theirs_s / ours_s:.1f}"
    return ours_s <= theirs_s * CPU_SHARE, sentence


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", nargs="+", default=["daphne", "uvicorn"], choices=["daphne", "uvicorn"])
    parser.add_argument("--concurrency", nargs="+", type=int, default=[1, 8, 64, 128])
    parser.add_argument("--lengths", nargs="+", default=list(LENGTHS), choices=list(LENGTHS))
    parser.add_argument("--requests", type=int, default=12, help="requests at the lowest concurrency")
    parser.add_argument("--per-slot", type=int, default=2, help="requests per concurrent stream")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--step-s", type=float, default=0.02, help="time per token of the simulated engine")
    parser.add_argument(
        "--with-litellm", action="store_true", help="install (in .venv-litellm) and run LiteLLM beside ours"
    )
    parser.add_argument("--with-vllm-router", action="store_true", help="install (in .venv-router) and run vllm-router")
    parser.add_argument("--peer-url", help="another OpenAI-style gateway, which serves the model `bench`")
    parser.add_argument("--peer-key", default="none")
    parser.add_argument("--peer-pid", type=int, nargs="*", default=[], help="its processes, for their CPU")
    parser.add_argument(
        "--upstream-port", action="store_true", help="print the upstream's address and wait, to set up a peer"
    )
    parser.add_argument(
        "--assert",
        dest="check",
        action="store_true",
        help="exit 1 if ours misses its bounds beside LiteLLM",
    )
    parser.add_argument("--quick", action="store_true", help="some seconds only: no figures to quote")
    options = parser.parse_args()
    if options.quick:
        options.concurrency, options.lengths, options.rounds, options.requests = [1, 8], ["short"], 1, 4
    return options


def main() -> int:
    """Start, measure, report."""
    options = parsed()
    console = Console(width=200)
    console.print(f"command: {command()}\nmachine: {machine()}", highlight=False)
    engine_args = {"step_base_s": options.step_s, "prefill_tokens_per_s": 1e9}
    rows: dict[Key, Row] = defaultdict(Row)
    with contextlib.ExitStack() as stack:
        direct = stack.enter_context(upstream(engine_args))
        if options.upstream_port:
            console.print(f"upstream: {direct.url}; start the peer, then press Enter")
            sys.stdin.readline()
        peers = [direct]
        if options.with_litellm:
            peers.append(stack.enter_context(litellm(ROOT / ".venv-litellm", direct.url)))
        if options.with_vllm_router:
            peers.append(stack.enter_context(vllm_router(ROOT / ".venv-router", direct.url)))
        if options.peer_url:
            peers.append(Peer("peer", options.peer_url, options.peer_key, options.peer_pid))
        ours = [
            (f"opsite ({server})", stack.enter_context(our_stack(server=server, engine_args=engine_args, slots=1024)))
            for server in options.servers
        ]
        for peer in peers[1:]:  # imports and first connections are not what is measured
            measure(peer.url, peer.key, concurrency=2, requests=4, max_tokens=4)
        for _, service in ours:
            measure(service.url, service.key, concurrency=2, requests=4, max_tokens=4)
        for number in range(options.rounds):
            console.print(f"round {number + 1} of {options.rounds}")
            one_round(rows, ours, peers, options)
    report(console, rows, options.rounds)
    results = {server: verdicts(rows, f"opsite ({server})") for server in options.servers}
    for met, sentence in (verdict for found in results.values() for verdict in found):
        console.print(("[green]met[/]    " if met else "[red]missed[/] ") + sentence, highlight=False)
    failed = sum(row.failed for row in rows.values())
    if failed:
        console.print(f"[red]{failed} requests failed[/]")
    all_met = all(met for found in results.values() for met, _ in found)
    return 1 if options.check and (failed or not all_met) else 0


if __name__ == "__main__":
    sys.exit(main())
