"""One placement for all pools that goes on without those which spoil it.

A pool whose draft cannot be placed starts nothing in that tick; what it ends, and all that others do, goes on. Where nobody is
found who spoils it, nobody starts anything.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

from orchestrator.allotment import Allotment, Draft, allot
from orchestrator.fleet import Sight
from orchestrator.models import Pool, Worker
from orchestrator.placement.packing import Capacity

log = logging.getLogger(__name__)

LEFT_OUT = Allotment(
    more_fit=False, note="This pool's workers cannot be placed: it starts none; the orchestrator's log says why."
)
NOBODY = Allotment(more_fit=False, note="The placement fails: no pool starts workers; the orchestrator's log says why.")


def allot_the_sound(
    capacity: Capacity, sight: Sight, *, pools: Sequence[Pool], rows: Iterable[Worker], drafts: Sequence[Draft]
) -> dict[Any, Allotment]:
    """By pool id, for all drafts: what `allot` says, with nothing for those that it cannot place."""
    rows = list(rows)
    try:
        return allot(capacity, sight, pools=pools, rows=rows, drafts=drafts)
    except Exception:
        log.exception("the placement failed; now each pool is tried alone")
    sound = [draft for draft in drafts if _is_placeable(capacity, draft)]
    try:
        if len(sound) < len(drafts):
            got = allot(capacity, sight, pools=pools, rows=rows, drafts=sound)
            return {draft.pool.pk: LEFT_OUT for draft in drafts} | got
    except Exception:
        log.exception("the placement fails without them, too")
    return {draft.pool.pk: NOBODY for draft in drafts}


def _is_placeable(capacity: Capacity, draft: Draft) -> bool:
    try:
        rows = [one.row for one in draft.observed]
        allot(capacity, Sight(), pools=[draft.pool], rows=rows, drafts=[draft])
    except Exception:
        log.exception("pool %s: it cannot be placed and starts nothing; the others go on", draft.pool.slug)
        return False
    return True
