"""Job runs in the API."""
