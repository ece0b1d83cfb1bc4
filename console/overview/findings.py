"""What is wrong now, in words, worst first. Pure: facts in, findings out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import Literal

import msgspec

from console.overview.facts import Hindrance, PoolFacts, ServiceFacts, SideFacts
from orchestrator.policies.demand import counted, seconds

QUIET_S = 60.0
"""What chores should have done so long ago is overdue."""
NO_WORKER_S = 5.0
"""A pool at zero may take so long to ask for its first worker."""
RECORDS_S = 10.0
RECORDS_LONG_S = 60.0
BILL_S = 600.0
"""The GPU bill is made every two minutes."""
SILENT_S = 5.0
TICK_S = 8.0
"""A tick comes each second, and may wait some seconds for an engine that does not answer."""
ERRORS, ERRORS_GRAVE = 0.05, 0.25
ENDED_LEAST = 10
"""Of fewer turns an error rate says nothing."""
NAMED = 5

Place = Literal[
    "pool", "pools", "worker", "workers", "failed_tasks", "dead_letters", "webhooks", "deliveries", "schedules", "calls",
    "stock", "tenants", "keys", "bills", "tasks", "docs",
]  # fmt: skip
"""Where one acts; `console.overview.links` knows the addresses."""


class Severity(IntEnum):
    """`OUTAGE`: the service as a whole stands; `TROUBLE`: tasks suffer; `WARNING`: they soon may; `NOTE`: it is so on purpose."""

    NOTE = 0
    WARNING = 1
    TROUBLE = 2
    OUTAGE = 3


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong: a sentence, since when (Unix s; None: not known), and the place and object to act on."""

    severity: Severity
    sentence: str
    since: float | None = None
    place: Place
    key: str = ""
    pool: str = ""


def findings(facts: ServiceFacts) -> list[Finding]:
    """Worst first, then what has lasted longest."""
    found = [*_of_service(facts), *_of_side(facts.side, facts.now)]
    for pool in facts.pools:
        found += _of_pool(pool, facts)
    return sorted(found, key=lambda one: (-one.severity, one.since if one.since is not None else facts.now, one.pool))


def worst(found: Iterable[Finding]) -> dict[str, Severity]:
    """The gravest finding of each pool that has one."""
    grave: dict[str, Severity] = {}
    for one in found:
        if one.pool:
            grave[one.pool] = max(one.severity, grave.get(one.pool, Severity.NOTE))
    return grave


def _of_service(facts: ServiceFacts) -> Iterator[Finding]:
    if facts.redis_error:
        yield Finding(
            severity=Severity.OUTAGE,
            sentence=f"Redis does not answer: nothing is queued and nothing runs. {facts.redis_error}".strip(),
            place="pools",
        )
    if not facts.is_led:
        yield Finding(
            severity=Severity.OUTAGE,
            sentence="No orchestrator leads: no worker is started or ended. Start manage.py orchestrate.",
            since=facts.recorded_at,
            place="workers",
        )
    elif facts.quiet_s >= TICK_S and not facts.redis_error and any(not pool.error for pool in facts.pools):
        yield Finding(
            severity=Severity.OUTAGE,
            sentence="The orchestrator that leads does not come round any more: its log says why.",
            since=facts.now - facts.quiet_s,
            place="workers",
        )
    behind = [pool for pool in facts.pools if pool.oldest_record_s >= RECORDS_S]
    if behind:
        oldest_s = max(pool.oldest_record_s for pool in behind)
        records = counted(sum(pool.unrecorded for pool in behind), "record")
        yield Finding(
            severity=Severity.OUTAGE if oldest_s >= RECORDS_LONG_S else Severity.TROUBLE,
            sentence=f"The recorder is behind: {records} of {counted(len(behind), 'pool')} not in Postgres yet. "
            "Outcomes are streamed, but not stored; see whether manage.py record runs.",
            since=facts.now - oldest_s,
            place="tasks",
        )


def _of_side(side: SideFacts, now: float) -> Iterator[Finding]:
    overdue = [one for one in side.overdue if now - one.since >= QUIET_S]
    if overdue:
        yield Finding(
            severity=Severity.TROUBLE,
            sentence=f"Effects is silent or behind: {' and '.join(one.what for one in overdue)} "
            f"{'is' if len(overdue) == 1 else 'are'} overdue. See whether manage.py effects runs.",
            since=min(one.since for one in overdue),
            place="calls",
        )
    due = max(side.bill_due_since or now, side.billed_at or 0.0)
    if now >= side.celery_due_at:
        yield Finding(
            severity=Severity.WARNING,
            sentence="Celery is silent: GPU bills, forecasts and retention stand still. See whether its worker and beat run.",
            since=side.celery_heard_at,
            place="bills",
        )
    elif side.bill_due_since is not None and now - due >= BILL_S:
        yield Finding(
            severity=Severity.WARNING,
            sentence="No GPU bill is made, though celery is there: its log says why.",
            since=due,
            place="bills",
        )
    for error in side.stock_errors:
        yield Finding(severity=Severity.WARNING, sentence=error.sentence, since=error.since, place="stock")
    if side.webhooks_failing:
        yield Finding(
            severity=Severity.WARNING,
            sentence=f"{counted(side.webhooks_failing, 'webhook')} cannot be delivered; they are tried again for a day.",
            since=side.webhooks_failing_since,
            place="webhooks",
        )
    if side.webhooks_disabled:
        sentence = (
            f"{counted(side.webhooks_disabled, 'webhook')} disabled, because nothing could be delivered for long."
        )
        yield Finding(severity=Severity.NOTE, sentence=sentence, place="webhooks")
    if side.dead_letters:
        yield Finding(
            severity=Severity.WARNING,
            sentence=f"{counted(side.dead_letters, 'dead letter')} of the last day not run again.",
            since=side.oldest_dead_letter_at,
            place="dead_letters",
        )
    if side.spent_tenants:
        shown = ", ".join(side.spent_tenants[:NAMED])
        more = f" and {len(side.spent_tenants) - NAMED} more" if len(side.spent_tenants) > NAMED else ""
        sentence = f"The month's budget is spent, nothing more is accepted, of {shown}{more}."
        yield Finding(severity=Severity.NOTE, sentence=sentence, place="tenants")
    if side.spent_keys:
        sentence = f"The month's budget is spent of {counted(side.spent_keys, 'API key')}."
        yield Finding(severity=Severity.NOTE, sentence=sentence, place="keys")


def _of_pool(pool: PoolFacts, facts: ServiceFacts) -> Iterator[Finding]:
    if pool.error and not facts.redis_error:
        yield _at(pool, Severity.TROUBLE, f"its queue cannot be read: {pool.error}")
    stuck = pool.waiting > 0 and not pool.ready and not pool.starting and pool.oldest_wait_s >= NO_WORKER_S
    why = _why(pool) if stuck else None
    if stuck:
        since = min(facts.now - pool.oldest_wait_s, facts.now if why is None or why.since is None else why.since)
        waits = f"{counted(pool.waiting, 'task')} {'waits' if pool.waiting == 1 else 'wait'}, and it has no worker."
        said = f"{waits} {why.sentence}" if why is not None else waits
        yield _at(pool, Severity.TROUBLE, said, since=since)
    for kind, severity in _HINDRANCES.items():
        known = pool.hindrances.get(kind)
        if known is not None and known is not why:
            if kind == "maximum" and pool.oldest_wait_s <= pool.wait_bound_s:
                continue
            sentence = known.sentence
            if kind == "maximum":
                waits, bound = seconds(pool.oldest_wait_s), seconds(pool.wait_bound_s)
                sentence = f"at its maximum, and a task waits for {waits} (bound: {bound}). {sentence}"
            yield _at(pool, severity, sentence, since=known.since)
    if pool.paused and "paused" not in pool.hindrances and not stuck:
        yield _at(pool, Severity.NOTE, "The pool is paused.")
    yield from _of_workers(pool, facts)
    yield from _of_rollout(pool)
    if pool.ended >= ENDED_LEAST and pool.failed / pool.ended >= ERRORS:
        rate, window = pool.failed / pool.ended, f"{facts.window_s / 60:.0f} minutes"
        yield Finding(
            severity=Severity.TROUBLE if rate >= ERRORS_GRAVE else Severity.WARNING,
            sentence=f"{pool.slug}: {rate:.0%} of its turns failed in the last {window} ({pool.failed} of {pool.ended}).",
            place="failed_tasks",
            key=pool.slug,
            pool=pool.slug,
        )


_HINDRANCES = {
    "starts_fail": Severity.TROUBLE,
    "runtime": Severity.TROUBLE,
    "room": Severity.WARNING,
    "maximum": Severity.WARNING,
    "budget": Severity.WARNING,
    "sparing": Severity.NOTE,
    "stock": Severity.NOTE,
    "budget_near": Severity.NOTE,
    "preempted": Severity.NOTE,
    "paused": Severity.NOTE,
}
"""What is said of each. A queue that cannot be read and roll-outs are told by what is seen now."""


def _why(pool: PoolFacts) -> Hindrance | None:
    """The one hindrance that explains best why there is no worker."""
    if pool.paused:
        return pool.hindrances.get("paused", Hindrance("The pool is paused."))
    kinds = ("starts_fail", "runtime", "budget", "room", "stock", "maximum")
    return next((pool.hindrances[kind] for kind in kinds if kind in pool.hindrances), None)


def _of_workers(pool: PoolFacts, facts: ServiceFacts) -> Iterator[Finding]:
    silent = [one for one in pool.silent if one.for_s is None or one.for_s >= SILENT_S]
    if silent:
        longest = [one.for_s for one in silent if one.for_s is not None]
        first = silent[0]
        who = f"worker {first.worker[-8:]} is" if len(silent) == 1 else f"{len(silent)} workers are"
        yield Finding(
            severity=Severity.WARNING,
            sentence=f"{pool.slug}: {who} silent.",
            since=facts.now - max(longest) if len(longest) == len(silent) else None,
            place="worker" if len(silent) == 1 else "workers",
            key=first.worker if len(silent) == 1 else pool.slug,
            pool=pool.slug,
        )
    if pool.failed_starts and "starts_fail" not in pool.hindrances:
        minutes = f"{facts.lately_s / 60:.0f} minutes"
        words = f" The last said: {pool.failed_words}" if pool.failed_words else ""
        yield Finding(
            severity=Severity.WARNING,
            sentence=f"{pool.slug}: {counted(pool.failed_starts, 'worker')} failed in the last {minutes}.{words}",
            since=pool.failed_at,
            place="workers",
            key=pool.slug,
            pool=pool.slug,
        )


def _of_rollout(pool: PoolFacts) -> Iterator[Finding]:
    if (one := pool.rollout) is not None:
        severity = {"failed": Severity.TROUBLE, "canary": Severity.WARNING}.get(one.state, Severity.NOTE)
        state = {
            "canary": "waits for your word",
            "failed": "failed, and was gone back from",
            "reverted": "was called back",
        }
        said = f"the roll-out of revision {one.number} {state.get(one.state, one.state)}. {one.reason}".strip()
        yield _at(pool, severity, said, since=one.since)


def _at(pool: PoolFacts, severity: Severity, said: str, *, since: float | None = None) -> Finding:
    return Finding(
        severity=severity, sentence=f"{pool.slug}: {said}", since=since, place="pool", key=pool.slug, pool=pool.slug
    )
