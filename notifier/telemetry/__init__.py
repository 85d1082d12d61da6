"""Logs and metrics: one way to log, one catalogue of metrics."""
