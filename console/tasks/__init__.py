"""One task: what it said, where its time went, who held it, what it was sent and what it cost; and what can be done with it."""
