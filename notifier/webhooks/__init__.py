"""Telling services what became of their notifications, by Standard Webhooks; the outbox carries it."""
