"""Retention: how long data is kept, and the purge that deletes it afterwards."""
