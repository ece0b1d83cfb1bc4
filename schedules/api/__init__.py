"""REST of schedules."""
