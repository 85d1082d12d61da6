"""What delays or refuses work without failing mail: circuits, rate limits, the queue forecast."""
