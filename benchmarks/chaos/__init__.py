"""Real processes under random violence, and a verdict on every task and every stream."""
