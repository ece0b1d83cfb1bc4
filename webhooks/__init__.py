"""Webhooks in the form of the Standard Webhooks specification: endpoints, signed deliveries, their log."""
