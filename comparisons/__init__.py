"""Two revisions of an agent on the same inputs, side by side."""
