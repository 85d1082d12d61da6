"""Statistics in the API."""
