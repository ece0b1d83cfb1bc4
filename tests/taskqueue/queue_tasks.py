"""What the queue knows of tasks between their turns, and before the first: the part of the model that has no line and no worker."""

from __future__ import annotations

from taskqueue.messages import Held
from tests.taskqueue.queue_turn import Entry, Note, Task


class Tasks:
    """The streams of one pool's tasks, and what is recorded."""

    def __init__(self) -> None:
        self.tasks: dict[str, Task] = {}
        self.records: list[Note] = []

    def length(self, owner: str) -> int:
        """What waits in line of a tenant, or of an API key."""
        raise NotImplementedError

    def between_turns(self) -> list[Task]:
        return [task for task in self.tasks.values() if task.waits]

    def hold(self, held: Held) -> str:
        """A task's stream begins, without a turn: the verdict. Who waits so is counted with those in line."""
        if held.task in self.tasks:
            return "known"
        if 0 < held.max_waiting <= self.length(held.tenant) + held.before:
            return "full"
        if 0 < held.key_max_waiting <= self.length(held.key) + held.before_of_key:
            return "key_full"
        self.tasks[held.task] = Task(held.task, bool(held.inbox), [Entry("state", "waiting")])
        return "accepted"

    def note(self, name: str, call: str) -> int:
        """The number of a tool's result in the log of a task that waits (else 0); one that was told since the turn is told once."""
        task = self.tasks.get(name)
        if not task or not task.waits:
            return 0
        for seq in range(len(task.log), 0, -1):
            if task.log[seq - 1].kind != "tool_result":
                break
            if task.log[seq - 1].data == call:
                return seq
        task.log.append(Entry("tool_result", call))
        return len(task.log)

    def end_task(self, name: str, turn: str, outcome: str) -> bool:
        """Whether the task ends here: where it does not wait, its turn ends it."""
        task = self.tasks[name]
        ends = task.waits
        if ends:
            self.close(task, turn, outcome)
        return ends

    def close(self, task: Task, turn: str, outcome: str) -> None:
        task.log.append(Entry("outcome", outcome))
        self.records.append(Note("closed", turn, task.name, 0, None, outcome))
