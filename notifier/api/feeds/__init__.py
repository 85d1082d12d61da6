"""Feeds in the API."""
