"""Who is calling: services, their API keys, and what a key may do."""
