"""Schedules in the API."""
