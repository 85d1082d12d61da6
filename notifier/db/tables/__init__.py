"""The tables, one noun per file. Importing this package completes the metadata that migrations compare against."""

from notifier.db.tables.base import Table, columns
from notifier.db.tables.notification import Attempt, Notification, NotificationContent, Suppression
from notifier.db.tables.outbox import OutboxEntry
from notifier.db.tables.service import ApiKey, KeyKind, Service
from notifier.db.tables.template import Template, TemplateVersion

__all__ = [
    "ApiKey",
    "Attempt",
    "KeyKind",
    "Notification",
    "NotificationContent",
    "OutboxEntry",
    "Service",
    "Suppression",
    "Table",
    "Template",
    "TemplateVersion",
    "columns",
]
