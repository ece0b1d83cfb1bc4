"""How much of what a tenant may have in flight its batches take: never all of it, so that they refuse nothing else. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agents.faces.principals import Principal

GROUP_UNDER_LIMITS = 8
"""Tasks that are submitted at once where something is limited per minute: what they leave is seen before there are more."""


def queue_limits(principal: Principal) -> tuple[int, ...]:
    """The limits of tasks in one pool; 0 means none."""
    return principal.max_waiting, principal.max_running, principal.key_max_waiting, principal.key_max_running


def room(window: int, limits: Sequence[int]) -> int:
    """How many tasks all batches of a tenant may have waiting or running: half of the tightest limit.

    It is one at least, which a limit of 1 cannot be spared.
    """
    return min([window, *(max(1, limit // 2) for limit in limits if limit)])


def share(room: int, *, nth: int, sharing: int) -> int:
    """What the `nth` (from 0) of `sharing` batches has of it."""
    each, rest = divmod(room, sharing)
    return each + (1 if nth < rest else 0)


def fitting(tasks: Sequence[int], *, free: int, at_once: int | None, is_first: bool) -> int:
    """How many of the next lines go, in their order; line i has `tasks[i]`.

    `free`: tasks that there is room for. `at_once` is as `group` says. One with more tasks than there is ever room for goes when it
    `is_first`: nothing else of its batch is under way.
    """
    left = free if at_once is None else min(free, at_once)
    for number, needed in enumerate(tasks):
        goes_alone = number == 0 and (is_first or needed <= free)
        if needed > left and not goes_alone:
            return number
        left -= needed
    return len(tasks)


def most_together(principal: Principal, *, pool_max_waiting: int) -> int | None:
    """How many tasks of one line the queue would ever take, with nothing else in it; None for any number.

    A tenant may have four times as many waiting in a pool as there are places left (`enqueue.lua`).
    """
    limits = [limit for limit in (principal.max_waiting, principal.key_max_waiting) if limit]
    if pool_max_waiting:
        limits.append((4 * pool_max_waiting + 4) // 5)
    return min(limits, default=None)


def group(principal: Principal) -> int | None:
    """How many tasks may be submitted at once; None for any number."""
    limited = any(
        limits.requests_per_minute or limits.tokens_per_minute for limits in (principal.limits, principal.key_limits)
    )
    return GROUP_UNDER_LIMITS if limited else None


def pause_s(headers: Mapping[str, str]) -> float:
    """How long until half of each limit per minute is there again, by the headers of the last submission; 0 if it is."""
    pauses = [0.0]
    for what in ("requests", "tokens"):
        limit = int(headers.get(f"x-ratelimit-limit-{what}", 0))
        if limit:
            missing = limit / 2 - int(headers[f"x-ratelimit-remaining-{what}"])
            pauses.append(60 * missing / limit)
    return max(pauses)
