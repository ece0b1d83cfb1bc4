"""Commands that join the parts."""
