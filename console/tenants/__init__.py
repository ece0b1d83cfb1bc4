"""A tenant's page: what it uses of its limits, its keys, its usage and cost, and whether it is served at all."""
