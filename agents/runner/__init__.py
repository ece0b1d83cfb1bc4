"""Between the turns of a task: its tool calls are made, its next turn is enqueued, or it ends."""
