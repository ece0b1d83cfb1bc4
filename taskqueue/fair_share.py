"""Fair share between the tenants of a pool: the Virtual Token Counter, as values. The Lua scripts do the same in Redis.

After Sheng et al., "Fairness in Serving Large Language Models", OSDI 2024, algorithm 2. Each tenant has a counter of the tokens
that it was served, divided by its weight. A free slot goes to the waiting tenant with the lowest counter. A tenant that begins to
wait is lifted to the lowest counter of those who wait (or, if nobody does, to that of the last who did): idle time earns no
credit. It is never lifted above that, and so comes next: idle time costs nothing.

The paper charges each token as it is made. Here no token passes the counters: a turn is charged its estimate at claim, and
corrected to what it was served when it leaves its worker, whether it ended or was given back. A turn that the queue itself ends
(its worker was lost too often, a stop outlived its worker) is corrected to the tokens in its log, all attempts together: what
the tenant got, and not the answer that it never saw. Its prompt is not counted, for only a worker knows its length.

The bound
---------
The paper bounds the difference of service between two backlogged tenants by 2 max(w_p L_input, w_q M), where M are the tokens of
a whole running batch. With estimates in place of tokens this becomes:

    Two tenants that both wait during an interval are served alike in it, to 2U of tokens by weight, however long it is.
    U = X + S D:  S turns run at once, no turn costs more than X, no estimate is off by more than D (both by weight).

Service is counted with the claim here; counted token by token, each end of the interval may add S X. With exact estimates U is
one turn. As D <= max(X, largest estimate), S D is the running batch, the paper's M.

Proof. A *holding* lasts from a claim to its correction. It is charged e and corrected to y >= 0, both by weight. Let c be a
tenant's counter, and h what c will be when its running turns are corrected: c plus the sum of y - e over them. A claim adds y to
h, a lift adds to it, and a correction leaves it as it is. Let V be the lowest counter of those who wait, or that of the last who
did. All claims and lifts happen at V: a claim takes who stands there, a lift (a tenant's first turn is one) sets it there.

1.  V hardly falls: for moments a < b, V(b) and every waiting tenant's h(b) are at least V(a) less the sum of max(0, e - y) over
    the holdings that run at a. Take the tenant k that V(b) or h(b) speaks of. If k has waited since a, it stood at V(a) or above,
    and only holdings that ran at a can have lowered it since: later ones were charged before they were corrected, on balance y.
    If not, let a' be k's first claim since a, or without one its last return to the line: then k stood at V(a') or above, and
    again only those of its holdings have lowered it that ran at a and were corrected after a'. Repeat with V(a'). This ends, as
    each step goes back in time, and it counts no holding twice: the next step counts those that were corrected before a'.
2.  Two tenants f and g that wait at b have h_f - h_g <= U. Let a be the last moment when f was claimed or lifted, at V(a). Since
    then h_f stood still, so h_f(b) <= V(a) + X + the sum of max(0, y - e) over f's holdings that ran at a; by 1., h_g(b) >= V(a)
    less the sum of max(0, e - y) over all that ran at a. A holding is in one of the two sums, with D at most; there are S.
3.  While both wait nobody of the two is lifted, so that what each was served is the growth of its h. By 2., h_f - h_g lies
    between -U and U at both ends of the interval. So it changes by 2U at most.

Suspects (taskqueue/lua/reap.lua) wait beside the line: to this theory their tenant joins, is claimed from at V, and leaves. Only
one for which a worker has cleared itself comes when it is ready, though its tenant may stand above V: h is then higher by that
turn, at most X for each worker that was lost, and it is that tenant who is behind afterwards.

Step 1 needs every return to the line to be a lift, that of a turn which its worker gave back included: a tenant with one long
turn has not waited meanwhile, and its counter may lie far below V.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class Counters:
    """One pool's tenants: `service` in tokens by weight, who waits, and who was the last to leave the line."""

    service: Mapping[str, float] = field(default_factory=dict)
    waiting: frozenset[str] = frozenset()
    left: str | None = None

    def lowest(self) -> float:
        """V of the theory: where claims and lifts happen."""
        if self.waiting:
            return min(self.service[tenant] for tenant in self.waiting)
        return 0.0 if self.left is None else self.service[self.left]


@dataclass(frozen=True, slots=True)
class Bill:
    """What one turn was charged so far, in tokens."""

    tenant: str
    weight: float
    estimate: float
    charged: float = 0.0


def join(counters: Counters, *, tenant: str) -> Counters:
    """The tenant has a waiting turn. One that had none is lifted."""
    if tenant in counters.waiting:
        return counters
    lifted = max(counters.service.get(tenant, 0.0), counters.lowest())
    return replace(
        counters, service={**counters.service, tenant: lifted}, waiting=counters.waiting | frozenset((tenant,))
    )


def leave(counters: Counters, *, tenant: str) -> Counters:
    """The tenant has no waiting turn any more."""
    if tenant not in counters.waiting:
        return counters
    return replace(counters, waiting=counters.waiting - {tenant}, left=tenant)


def choose(counters: Counters) -> str | None:
    """Whose turn is next; of equals the first by name. None: nobody waits."""
    return min(counters.waiting, key=lambda tenant: (counters.service[tenant], tenant), default=None)


def charge(counters: Counters, bill: Bill) -> tuple[Counters, Bill]:
    """A turn is claimed: its tenant pays the estimate, less what earlier attempts were served."""
    return correct(counters, bill, served=max(bill.estimate, bill.charged))


def correct(counters: Counters, bill: Bill, *, served: float) -> tuple[Counters, Bill]:
    """A turn leaves its worker: what its tenant paid for it becomes `served`, the tokens of all its attempts."""
    service = counters.service.get(bill.tenant, 0.0) + (served - bill.charged) / bill.weight
    return replace(counters, service={**counters.service, bill.tenant: service}), replace(bill, charged=served)


def rank(*, priority: int, deadline_ms: int, arrival_ms: int) -> tuple[int, float, int]:
    """The order inside a tenant, lowest first: priority, then deadline (0: none, after all that have one), then arrival."""
    return priority, deadline_ms or math.inf, arrival_ms


def bound(*, slots: int, cost: float, error: float) -> float:
    """U of the theory, in tokens by weight: the most that two waiting tenants' counters differ, corrections foreseen.

    `slots` turns run at once; `cost` is the dearest turn's, `error` the worst estimate's, both by weight.
    """
    return cost + slots * error
