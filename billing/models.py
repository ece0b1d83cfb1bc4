"""Usage and cost: tokens by hour, prices, budgets, and the whole GPU bill."""
