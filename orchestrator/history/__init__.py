"""What came in of each pool, minute by minute, and what it lets expect."""
