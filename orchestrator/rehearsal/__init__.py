"""What a policy would do with a pool's demand: a simulated fleet in virtual time, asked by the very `decide` of production."""
