"""The tables, one noun per file. Importing this package completes the metadata that migrations compare against."""

from notifier.db.tables.base import Table, columns
from notifier.db.tables.notification import Attempt, Event, Notification, NotificationContent, Suppression
from notifier.db.tables.outbox import OutboxEntry, SenderProcess
from notifier.db.tables.service import ApiKey, KeyKind, Service
from notifier.db.tables.template import Template, TemplateVersion

__all__ = [
    "ApiKey",
    "Attempt",
    "Event",
    "KeyKind",
    "Notification",
    "NotificationContent",
    "OutboxEntry",
    "SenderProcess",
    "Service",
    "Suppression",
    "Table",
    "Template",
    "TemplateVersion",
    "columns",
]
