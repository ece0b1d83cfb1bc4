"""The first page: what the service is doing now."""
