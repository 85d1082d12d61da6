"""Webhooks: status events of notifications, sent to endpoints of services in the form of Standard Webhooks."""
