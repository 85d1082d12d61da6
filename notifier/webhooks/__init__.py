"""Webhooks: status events of notifications, sent to the endpoints of services by Standard Webhooks."""
