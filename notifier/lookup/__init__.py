"""Reads what happened to notifications: find, search, timeline, content, and why one waits."""
