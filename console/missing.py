"""What a topic raises where there is nothing to follow."""

from __future__ import annotations


class NotFound(LookupError):
    """There is no such object, or it is not this viewer's to see."""
