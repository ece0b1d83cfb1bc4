"""What is said before and after a worker is ended by hand."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.models import Worker

ASKED: Mapping[Worker.Wish, tuple[str, ...]] = {
    Worker.Wish.DRAIN: (
        "It takes no more turns, hands over those that it runs, and ends.",
        "Other workers go on with them behind the text so far: their readers see neither a gap nor a repeat.",
        "If the pool's policy wants as many workers as before, another one is started in its place.",
        "If it has not ended within the drain's grace, it is killed.",
    ),
    Worker.Wish.KILL: (
        "Its process or container is killed at once, with all of its engine.",
        "Other workers go on with its turns behind the text so far; nothing is lost, and nothing counts against these turns.",
        "If the pool's policy wants as many workers as before, another one is started in its place.",
        "Drain it instead, if it still does its work.",
    ),
}
DONE: Mapping[Worker.Wish, str] = {
    Worker.Wish.DRAIN: "The worker is to drain: the orchestrator asks it within a second, and it hands over its turns.",
    Worker.Wish.KILL: "The worker is to be killed: the orchestrator does so within a second, and others take over its turns.",
}
