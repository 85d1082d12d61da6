"""Notifier: an e-mail notification service with a transactional outbox."""

__version__ = "0.1.0"
