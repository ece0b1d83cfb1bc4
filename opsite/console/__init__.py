"""The console's live pages."""
