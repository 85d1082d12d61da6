"""Webhooks: services are told what became of their notifications, by Standard Webhooks, through the outbox."""
