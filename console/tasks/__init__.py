"""The page of one task: what it said, where its time went, who held it, what it was sent, what it cost; and what can be done with it."""
