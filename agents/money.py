"""What a task may cost: the prices that stand with its pool, and what a limit of money leaves for one more turn. Pure.

Amounts are decimals in the one currency of all prices. What goes to a worker is whole trillionths of it: prices per million tokens
have six decimals, so a token's price is a whole number of them, and a worker counts exactly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import ROUND_FLOOR, Decimal
from typing import Any, NamedTuple

import msgspec

from agents.problems import bad_field
from taskqueue.messages import Allowance

MAX_COST = Decimal(1_000_000)
"""The highest limit of one task; in trillionths it fits into 64 bits."""
TRILLION = Decimal(10**12)
MILLION = Decimal(10**6)


class TokenPrice(msgspec.Struct, frozen=True, kw_only=True):
    """What a million tokens cost from a moment on."""

    valid_from: datetime
    input: Decimal
    cached_input: Decimal
    output: Decimal


class MoneyLimit(NamedTuple):
    """A limit that holds for a task, and what counts against it so far.

    Not `is_own`: of a task further up, which handed this one over; its cost includes what it handed over.
    """

    limit: Decimal
    spent: Decimal
    is_own: bool = True

    @property
    def left(self) -> Decimal:
        """What may still be spent; below zero where the last turn cost more than was left."""
        return self.limit - self.spent


def price_at(prices: Sequence[Mapping[str, Any]], *, now: datetime) -> TokenPrice | None:
    """The price in force, of a pool's prices in the order of time as its row has them; None: nothing has a price yet."""
    begun = [price for price in msgspec.convert(prices, list[TokenPrice]) if price.valid_from <= now]
    return begun[-1] if begun else None


def cost_of(
    *, prompt_tokens: int, cached_tokens: int, completion_tokens: int, prices: Sequence[Mapping[str, Any]], at: datetime
) -> Decimal | None:
    """What a turn that ended `at` cost, at the price in force then, as `billing` counts it; None where nothing had a price."""
    price = price_at(prices, now=at)
    if price is None:
        return None
    cached = min(cached_tokens, prompt_tokens)
    amount = (prompt_tokens - cached) * price.input + cached * price.cached_input + completion_tokens * price.output
    return amount / MILLION


def allowance(left: Sequence[Decimal], *, prices: Sequence[Mapping[str, Any]], now: datetime) -> Allowance | None:
    """What one turn may cost where each limit leaves so much; None: nothing limits it, or its tokens cost nothing.

    Cached prompt tokens are taken at the dearer of the two prices: nobody knows before how many there will be.
    """
    price = price_at(prices, now=now) if left else None
    if price is None:
        return None
    return Allowance(
        left=max(0, int((min(left) * TRILLION).to_integral_value(ROUND_FLOOR))),
        prompt_token=int(max(price.input, price.cached_input) * MILLION),
        answer_token=int(price.output * MILLION),
    )


def require_priced(
    limits: Mapping[str, Any], *, prices: Sequence[Mapping[str, Any]], engine: str, pool: str, now: datetime, field: str
) -> None:
    """Refuse a limit of money of an agent whose tokens have no price, so that it could never be reached."""
    if "max_cost" not in limits:
        return
    if engine == "embedding":
        raise bad_field(
            field, f"the pool {pool!r} embeds texts, in one call each: there is nothing to stop between calls"
        )
    price = price_at(prices, now=now)
    if price is None or not (price.input or price.output):
        raise bad_field(
            field,
            f"tokens of the pool {pool!r} have no price, so no task of it costs anything; use `max_tokens` instead",
        )
