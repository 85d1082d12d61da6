"""Route that says what a key may do."""
