"""What is known of the service at one moment, as far as it can be in trouble. Pure values; moments are Unix seconds."""

from __future__ import annotations

from math import inf

import msgspec


class Hindrance(msgspec.Struct, frozen=True):
    """What keeps a fleet from changing (`orchestrator.refusals`): its sentence, and since when, where that is known."""

    sentence: str
    since: float | None = None


class Silent(msgspec.Struct, frozen=True):
    """A worker that is said to be ready, and has not been heard for so long (None: Redis knows nothing of it any more)."""

    worker: str
    for_s: float | None


class Rollout(msgspec.Struct, frozen=True):
    """A roll-out that does not simply go on: `canary`, `failed` or `reverted`."""

    state: str
    number: int
    reason: str
    since: float


class PoolFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One pool. `error`: why its queue cannot be read; then what follows of the queue is nothing.

    `hindrances` are by kind, as the decision that was kept last has them. `waiting` is without what running limits hold back.
    `failed_starts` are workers that failed in the last `lately_s`, with the last one's moment and words. `ended` and `failed` are
    turns of the last `window_s`.
    """

    slug: str
    error: str = ""
    paused: bool = False
    hindrances: dict[str, Hindrance] = {}
    rollout: Rollout | None = None
    waiting: int = 0
    oldest_wait_s: float = 0.0
    wait_bound_s: float = 5.0
    unrecorded: int = 0
    oldest_record_s: float = 0.0
    starting: int = 0
    ready: int = 0
    silent: tuple[Silent, ...] = ()
    failed_starts: int = 0
    failed_at: float | None = None
    failed_words: str = ""
    ended: int = 0
    failed: int = 0


class Overdue(msgspec.Struct, frozen=True):
    """What should have been done at the moment `since`, and was not."""

    what: str
    since: float


class SideFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What changes slowly, and is looked at less often.

    `overdue` is what an `effects` process should have done. `celery_heard_at`: its last heartbeat, None where none is known;
    `celery_due_at`: by when it should have been heard again. `billed_at`: the last GPU bill that it made; `bill_due_since`: since
    when there is something to bill. Of tenants and keys that have spent their budgets, of webhooks and dead letters there
    may be many: some names, and the number.
    """

    overdue: tuple[Overdue, ...] = ()
    celery_heard_at: float | None = None
    celery_due_at: float = inf
    billed_at: float | None = None
    bill_due_since: float | None = None
    stock_errors: tuple[Hindrance, ...] = ()
    dead_letters: int = 0
    oldest_dead_letter_at: float | None = None
    webhooks_failing: int = 0
    webhooks_failing_since: float | None = None
    webhooks_disabled: int = 0
    spent_tenants: tuple[str, ...] = ()
    spent_keys: int = 0


class ServiceFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The whole service at `now`. `redis_error`: Redis as a whole does not answer.

    `is_led`: some orchestrator holds the lead; `quiet_s`: for how long it is known to have told the queues nothing. `recorded_at`:
    the end of the last minute that a leader wrote down; asked for only where none leads.
    """

    now: float
    pools: tuple[PoolFacts, ...] = ()
    redis_error: str = ""
    is_led: bool = True
    quiet_s: float = 0.0
    recorded_at: float | None = None
    side: SideFacts = SideFacts()
    window_s: float = 300.0
    lately_s: float = 900.0
