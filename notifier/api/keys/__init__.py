"""Routes and models of API keys."""
