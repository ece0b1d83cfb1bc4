"""Tenants: organisations, their API keys and limits, and the wall between them."""
