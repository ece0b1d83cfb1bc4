"""What the pool may keep in Redis: the keys that belong to a state of the model."""

from __future__ import annotations

from tests.taskqueue.queue_model import QueueModel


def keys(model: QueueModel) -> set[str]:
    """All keys, without the pool's prefix, that belong to this state; logs outlive their turns for a while."""
    known = model.at("waiting", "running", "done", "kept")
    running = model.at("running")
    moved = model.records or any(
        turn.place in {"kept", "acknowledged"} or turn.attempt for turn in model.turns.values()
    )
    moved = moved or any(task.forgotten for task in model.tasks.values())
    names = {f"turn:{turn.name}" for turn in known}
    names |= {f"follow:{task.name}" for task in model.tasks.values() if task.followed and not task.forgotten}
    names |= {f"log:{name}" for name in model.tasks}
    lines = {turn.name: "apart" if turn.apart else "wait" for turn in model.at("waiting")}
    names |= {f"{lines[turn.name]}:{owner}" for turn in model.at("waiting") for owner in turn.owners}
    names |= {f"running:{owner}" for turn in running for owner in turn.owners}
    names |= {f"held:{turn.worker}" for turn in running} | {f"stop:{turn.worker}" for turn in running if turn.stop}
    names |= {f"killed:{worker}" for worker in model.killed}
    there = {
        "active": model.active(),
        "apart": model.suspects(),
        "wards": model.wards(),
        "looked": model.looked,
        "max_running": model.max_running,
        "arrivals": model.at("waiting"),
        "leases": running,
        "deadlines": any(turn.watched for turn in known),
        "service": model.counters.service,
        "left": model.counters.left,
        "tally": model.arrived,
        "pace": model.paced,
        "flow": model.turns,
        "bell": model.rung,
        "record": moved,
    }
    return names | {name for name, condition in there.items() if condition}
