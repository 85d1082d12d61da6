"""The migrations of the producer table."""
