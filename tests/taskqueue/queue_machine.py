"""A queue on a real Redis beside its model: what the stateful test's rules and invariants share.

No wall clock is read, and nothing waits for one: leases of no length lapse at once, others last an hour, deadlines lie in 1970
or in 2100.
"""

from __future__ import annotations

import uuid
from collections import defaultdict

from hypothesis.stateful import Bundle, RuleBasedStateMachine
from redis import Redis

from taskqueue import keys
from taskqueue.messages import Event, Record, Submission
from taskqueue.sync_client import Queue
from tests.taskqueue.queue_clock import Clock
from tests.taskqueue.queue_model import QueueModel

TENANTS = ("ann", "bob", "cyd")
KEYS = ("k1", "k2")
"""Of each tenant: `ann-k1`."""
OWNERS = (*TENANTS, *(f"{tenant}-{key}" for tenant in TENANTS for key in KEYS))
WORKERS = ("w1", "w2")
INBOX = "web"
PAST_MS, FUTURE_MS = (1, 2), (4_102_444_800_000, 4_102_444_800_001)
HOUR_S = 3600.0
ANSWER_S = 5.0
"""What a channel's message may take on a busy machine."""

turns = Bundle("turns")
"""Names of turns, refused ones included."""
tickets = Bundle("tickets")
"""What claims returned: some of it holds, the rest is what zombies remember."""


class QueueBesideModel(RuleBasedStateMachine):
    """One pool. Each rule moves the model and Redis; the invariants compare the two."""

    def __init__(self, redis: Redis) -> None:
        super().__init__()
        self.redis = redis
        self.queue = Queue(redis, f"pool-{uuid.uuid4().hex[:12]}")
        self.prefix = keys.prefix(self.queue.pool)
        self.clock = Clock(redis, self.prefix)
        self.model = QueueModel(now_ms=self.clock.now_ms())
        self.submitted: dict[str, Submission] = {}
        self.beating: set[str] = set()
        self.tokens = 0
        self.heard: dict[str, list[Event]] = defaultdict(list)
        self.inbox = redis.pubsub()
        self.inbox.subscribe(keys.inbox(self.queue.pool, INBOX))
        assert self.inbox.get_message(timeout=ANSWER_S)["type"] == "subscribe"

    def teardown(self) -> None:
        """The pool leaves no key behind for the next example."""
        self.inbox.close()
        self.clock.close()
        if names := self.redis.keys(f"{self.prefix}*"):
            self.redis.delete(*names)

    def news(self) -> list[Record]:
        """Records that the model does not know yet."""
        return self.queue.read_records(count=10_000)[len(self.model.records) :]

    def keys(self) -> set[str]:
        return {name.decode().removeprefix(self.prefix) for name in self.redis.keys(f"{self.prefix}*")}
