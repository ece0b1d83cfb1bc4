"""How many workers a pool should have: one pure function per kind of policy, and `decide` over them."""
