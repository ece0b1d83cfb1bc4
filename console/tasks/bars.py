"""The waterfall as bars: a lane for each turn and each call, with places in per mille of the task's life. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from console.tasks.waterfall import MEANING, Kind, Span, totals

TICKS = 4


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """One span. `left` and `width` are per mille; `says` is the whole of it in words, `lasts` its length."""

    kind: str
    meaning: str
    left: int
    width: int
    starts: str
    lasts: str
    says: str
    start: datetime
    span: Span


class Lane(msgspec.Struct, frozen=True):
    """The bars of one line: those of a turn with what it waited for, or one call's."""

    name: str
    bars: list[Bar]
    is_call: bool = False


class Part(msgspec.Struct, frozen=True):
    """How much of the whole went to one kind of time."""

    kind: str
    meaning: str
    lasts: str
    share: int


class Waterfall(msgspec.Struct, frozen=True):
    """All of it. `ticks` are the times along the axis; `bars` in the order of time, for the table."""

    lanes: list[Lane]
    parts: list[Part]
    ticks: list[str]
    lasts: str

    @property
    def bars(self) -> list[Bar]:
        """Every bar, lane by lane."""
        return [bar for lane in self.lanes for bar in lane.bars]


def drawn(spans: Sequence[Span]) -> Waterfall:
    """The lanes of `waterfall.spans_of`. A call has a lane of its own under its turn's."""
    begin = min((span.start for span in spans), default=None)
    end = max((span.end for span in spans), default=None)
    if begin is None or end is None:
        return Waterfall([], [], [], length(timedelta()))
    whole = max(end - begin, timedelta(milliseconds=1))
    lanes: dict[int, Lane] = {}
    calls: dict[int, list[Lane]] = {}
    for span in spans:
        bar = _bar(span, begin=begin, whole=whole)
        if span.kind is Kind.CALL:
            calls.setdefault(span.turn, []).append(Lane(span.call, [bar], is_call=True))
        else:
            lanes.setdefault(span.turn, Lane(f"Turn {span.turn}" if span.turn else "Before", [])).bars.append(bar)
    ordered = [lane for turn in sorted(lanes) for lane in (lanes[turn], *calls.get(turn, ()))]
    parts = [
        Part(kind, MEANING[kind], length(lasts), round(lasts / whole * 100)) for kind, lasts in totals(spans).items()
    ]
    ticks = [length(whole * tick / TICKS) for tick in range(TICKS + 1)]
    return Waterfall(ordered, parts, ticks, length(end - begin))


def length(lasts: timedelta) -> str:
    """A duration, exact to the millisecond: `0.042 s`, `1 min 05.300 s`, `2 h 00 min 01.000 s`."""
    whole_ms = lasts // timedelta(milliseconds=1)
    minutes, ms = divmod(whole_ms, 60_000)
    seconds = f"{ms / 1000:.3f} s"
    if not minutes:
        return seconds
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min {ms / 1000:06.3f} s" if hours else f"{minutes} min {ms / 1000:06.3f} s"


def _bar(span: Span, *, begin: datetime, whole: timedelta) -> Bar:
    left = round((span.start - begin) / whole * 1000)
    right = round((span.end - begin) / whole * 1000)
    lasts = length(span.lasts)
    words = MEANING[span.kind] if span.kind is not Kind.CALL else f"the call {span.call}"
    by = f", attempt {span.attempt}" if span.attempt > 1 or span.kind is Kind.LOST else ""
    still = ", and goes on" if span.is_open else ""
    return Bar(
        kind=span.kind,
        meaning=words,
        left=left,
        width=max(2, right - left),
        starts=length(span.start - begin),
        lasts=lasts,
        says=f"{words}{by}: {lasts}{still}",
        start=span.start,
        span=span,
    )
