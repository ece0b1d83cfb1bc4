"""REST of input sets and comparisons."""
