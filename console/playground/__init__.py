"""The playground: an agent is tried on an input, in its tenant's name, and its stream is watched; two of them side by side."""
