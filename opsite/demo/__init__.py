"""The demo: two tenants, a real model, and a fleet that grows because they ask and goes away when they stop."""
