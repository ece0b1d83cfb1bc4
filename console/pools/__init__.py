"""The page of one pool: what its fleet does and why, what another policy would have done, and what staff may say to it."""
