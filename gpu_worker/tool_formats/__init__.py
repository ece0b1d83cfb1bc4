"""How models write tool calls, one format to a file."""
