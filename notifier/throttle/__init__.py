"""What delays or refuses work without failing mail: circuits, rate limits, CPU budgets, the queue forecast."""
