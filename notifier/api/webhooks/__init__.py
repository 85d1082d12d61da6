"""Routes and models of webhook endpoints."""
