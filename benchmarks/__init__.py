"""Benchmarks. Each prints its command, machine and spread; docs/benchmarks.md holds the figures and how to read them."""
