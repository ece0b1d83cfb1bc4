"""Agents, conversations, tasks and turns, and the faces by which tenants reach them."""
