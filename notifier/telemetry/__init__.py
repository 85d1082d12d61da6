"""Structured logs, and the catalogue of metrics."""
