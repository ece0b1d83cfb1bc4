"""What a submission comes to: an accepted task, with its stream if it was asked for."""

from __future__ import annotations

import uuid
from typing import NamedTuple

from agents.faces.database import Row
from taskqueue.inbox import Subscription
from taskqueue.outlook import Place


class Submitted(NamedTuple):
    """An accepted task. `followed` is its stream, if it was asked for; `headers` say what is left of the rate limits.

    `place` is where it stands in the queue while it waits. `ends_with_client`: it is to be cancelled if the connection that
    submitted it goes before its outcome.
    """

    task: uuid.UUID
    row: Row
    followed: Subscription | None
    headers: dict[str, str] = {}
    ends_with_client: bool = False
    place: Place | None = None
