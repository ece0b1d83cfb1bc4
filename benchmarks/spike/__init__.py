"""Ten times the usual load for two minutes, on the real service."""
