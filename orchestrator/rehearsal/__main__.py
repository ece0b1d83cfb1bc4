"""`python -m orchestrator.rehearsal`: a trial as JSON on standard input, what came of it as JSON on standard output.

A process of its own: it can be ended at any moment, and keeps no web process from its work.
"""

from __future__ import annotations

import sys

import msgspec

from orchestrator.rehearsal.trial import Trial, tried


def main() -> None:
    """Read, run, write."""
    trial = msgspec.json.decode(sys.stdin.buffer.read(), type=Trial)
    sys.stdout.buffer.write(msgspec.json.encode(tried(trial)))


if __name__ == "__main__":
    main()
