"""The route that says what a key may do, and its models."""
