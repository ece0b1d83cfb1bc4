"""Real Postgres and real Redis under one data folder, for a machine with nothing but Python."""
