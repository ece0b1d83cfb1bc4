"""A worker's page: what it is doing now, on what, how it started, what it prints; and the ways to end it."""
