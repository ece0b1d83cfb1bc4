"""The REST resources of knowledge."""
