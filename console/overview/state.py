"""The topic `overview`: what is wrong now, how each pool does, and the last decisions, by a fixed number of queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import InterfaceError, OperationalError
from django.utils import timezone

from console.overview import figures, links, reads
from console.overview.facts import SideFacts
from console.overview.findings import Finding, Severity, findings, worst
from console.overview.observe import LATELY, Known, service_facts
from console.overview.rates import TokenRates
from console.overview.side import Side
from console.overview.ticks import Ticks
from orchestrator.models import Worker
from staff.access import Access
from taskqueue.messages import PoolSignals

DECISIONS_SHOWN = 8
FINDINGS_SHOWN = 60

_rates = TokenRates()
_side = Side()
_ticks = Ticks()


def read(access: Access, of: str) -> dict[str, Any]:
    """The topic `overview`; there is one for all. A Postgres that is away is a finding, and the only one."""
    try:
        return snapshot(side=_side.facts())
    except (OperationalError, InterfaceError) as error:
        said = f"Postgres does not answer: nothing is accepted or recorded. {' '.join(str(error).split())}"
        down = Finding(severity=Severity.OUTAGE, sentence=said, place="pools")
        return {"findings": [_finding(down, {})], "more_findings": 0}


def snapshot(*, side: SideFacts, rates: TokenRates = _rates) -> dict[str, Any]:
    """The state of the service, ready for JSON. Times are Unix seconds."""
    now = timezone.now()
    pools = reads.pools()
    demand = reads.demand([pool.slug for pool in pools])
    decisions = reads.decisions(pool.last_decision for pool in pools if pool.last_decision)  # type: ignore[attr-defined]
    hindrances = reads.hindrances({pool: row["signals__refusals"] or {} for pool, row in decisions.items()})
    workers, failed = reads.workers(), reads.failed_workers(since=now - LATELY)
    minutes = reads.turn_minutes(since=figures.begin_of(now))
    known = [
        Known(
            pool,
            demand[pool.slug],
            workers.get(pool.pk, ()),
            figures.lately(minutes.get(pool.pk, ()), now=now),
            hindrances.get(pool.pk, {}),
            failed.get(pool.pk),
        )
        for pool in pools
    ]
    found = findings(service_facts(known, side, ticks=_ticks, now=now))
    grave, ids = worst(found), {pool.slug: str(pool.pk) for pool in pools}
    tokens = rates.hear(_made(demand), now=now.timestamp())
    rows = [
        {
            **_row(one),
            "severity": grave.get(one.pool.slug),
            "tokens_per_s": tokens.get(one.pool.slug),
            "decision": _decision(decisions[one.pool.pk]) if one.pool.pk in decisions else None,
        }
        for one in known
    ]
    return {
        "at": now.timestamp(),
        "findings": [_finding(one, ids) for one in found[:FINDINGS_SHOWN]],
        "more_findings": max(0, len(found) - FINDINGS_SHOWN),
        "totals": _totals(rows, [worker for those in workers.values() for worker in those]),
        "pools": rows,
        "decisions": [
            {**_decision(row), "pool": row["pool__slug"], "pool_url": links.pool_page(row["pool__slug"])}
            for row in reads.last_decisions(DECISIONS_SHOWN)
        ],
    }


def _row(known: Known) -> dict[str, Any]:
    pool, signals, workers = known.pool, known.signals, known.workers
    row: dict[str, Any] = {
        "slug": pool.slug,
        "url": links.pool_page(pool.slug),
        "engine": pool.engine,
        "model": pool.model,
        "paused": pool.is_paused,
        "workers": {state.value: sum(worker.state == state for worker in workers) for state in Worker.LIVE},
        "slots": sum(worker.slots for worker in workers if worker.state == Worker.State.READY),
        **known.lately._asdict(),
        "failed_url": links.failed_tasks(str(pool.pk)),
    }
    if isinstance(signals, Exception):
        return {**row, "error": str(signals) or "Its queue cannot be read."}
    return {
        **row,
        "waiting": signals.waiting,
        "running": signals.running,
        "oldest_wait_s": round(signals.oldest_wait_s, 1),
    }


def _made(demand: Mapping[str, PoolSignals | Exception]) -> dict[str, dict[str, int]]:
    """Tokens by worker and pool, of the pools that could be read."""
    return {
        pool: {status.worker: status.tokens_total for status in answer.workers}
        for pool, answer in demand.items()
        if isinstance(answer, PoolSignals)
    }


def _totals(rows: Sequence[Mapping[str, Any]], workers: Sequence[Worker]) -> dict[str, Any]:
    """Of the service; what of a pool is not known is left out."""

    def total(name: str) -> float:
        return round(sum(row.get(name) or 0 for row in rows), 1)

    return {
        **{name: total(name) for name in ("waiting", "running", "slots", "tokens_per_s")},
        **{name: total(name) for name in ("tasks_per_min", "turns_per_min", "failed_per_min")},
        "workers": len(workers),
        "ready": sum(worker.state == Worker.State.READY for worker in workers),
        "gpus": round(sum(len(worker.gpus) * worker.gpu_share for worker in workers), 2),
    }


def _decision(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "at": row["at"].timestamp(),
        "current": row["current"],
        "desired": row["desired"],
        "reason": row["reason"],
        "url": links.decision_page(str(row["pk"])),
    }


def _finding(one: Finding, pool_ids: Mapping[str, str]) -> dict[str, Any]:
    return {
        "severity": int(one.severity),
        "sentence": one.sentence,
        "since": one.since,
        "url": links.of(one, pool_ids),
        "pool": one.pool,
    }
