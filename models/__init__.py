"""The demo model that the repository ships, and the script that trained it."""
