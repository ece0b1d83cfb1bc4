"""REST: what a tenant used, and what that cost."""
