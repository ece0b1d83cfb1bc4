"""A task's place in a trace, as one short string that lies in its row and goes with its messages. Pure.

The string is a `traceparent` of the W3C's Trace Context (https://www.w3.org/TR/trace-context/), and behind a space its
`tracestate`, if there is one. Ids of spans are made from what they tell of: every process knows them without being told, and a span
that is told twice is the same span.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import NamedTuple

STATE_CHARS = 512
"""How long a `tracestate` may be that is carried on: what the specification asks for at least."""
PATTERN = r"^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]( [!-~][ -~]*)?$"
"""What the string looks like, by Postgres' expressions and Python's; how long it may be says `CHARS`."""
CHARS = 55 + 1 + STATE_CHARS

_PARSED = re.compile(PATTERN)


class Trace(NamedTuple):
    """A place in a trace: what comes next is a child of the span `span_id`. Ids are hexadecimal, of 32 and 16 digits.

    `sampled`: its spans are exported. `state` is the `tracestate` of who began the trace, carried on as it came.
    """

    trace_id: str
    span_id: str
    sampled: bool
    state: str = ""

    @classmethod
    def parse(cls, text: str) -> Trace | None:
        """The inverse of `str`; None where there is no trace. Raises ValueError for what `str` did not write."""
        if not text:
            return None
        if _PARSED.fullmatch(text) is None or len(text) > CHARS:
            raise ValueError("a trace is written as 00-<32 hex digits>-<16 hex digits>-00 or -01, and a tracestate")
        return cls(text[3:35], text[36:52], text[54] == "1", text[56:])

    def __str__(self) -> str:
        return f"{self.parent} {self.state}" if self.state else self.parent

    @property
    def parent(self) -> str:
        """As the header `traceparent`."""
        return f"00-{self.trace_id}-{self.span_id}-{int(self.sampled):02d}"

    def behind(self, span_id: str) -> Trace:
        """The place behind a span of this trace."""
        return self._replace(span_id=span_id)

    def headers(self) -> dict[str, str]:
        """The headers that carry it to another service."""
        return {"traceparent": self.parent, "tracestate": self.state} if self.state else {"traceparent": self.parent}


def span_id(kind: str, of: object, number: int = 0) -> str:
    """The id of the span of that kind that tells of a task, turn, call or delivery; several of a kind are told apart by number."""
    return blake2b(f"{kind}:{of}:{number}".encode(), digest_size=8).hexdigest()


def headers_behind(text: str, span: str) -> dict[str, str]:
    """The headers that a call carries which is made in the span `span` of the trace that `text` says; none where it says none."""
    trace = Trace.parse(text)
    return {} if trace is None else trace.behind(span).headers()
