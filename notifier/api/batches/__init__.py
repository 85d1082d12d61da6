"""Routes and models of requests for many notifications."""
