"""How long what is free is kept for a pool whose worker needs more than that. Pure.

Among equals whoever needs little would else take each piece that becomes free, and who needs several pieces at once would never
start. A piece that is kept lies idle, though, and the rest may never come: so it is kept for a while, then others may have it for a
while.
"""

from __future__ import annotations

KEPT_S = 300.0
RESTS_S = 300.0


def keeps(since: float | None, *, now: float) -> bool:
    """Whether it is kept now. `since`: from when on the pool was refused without a break; None: it was not."""
    return since is None or (now - since) % (KEPT_S + RESTS_S) < KEPT_S
