"""Scaling policies compared in virtual time: `python -m benchmarks.autoscale`."""
