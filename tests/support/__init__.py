"""Helpers that tests share: a real PostgreSQL, a scripted relay, a seeded installation, a clock."""
