"""The tables, one noun per file. Importing this package loads them all into the metadata, for migrations."""

from notifier.db.tables.audit import AuditEntry
from notifier.db.tables.base import Table, get_columns
from notifier.db.tables.history import Attempt, NotificationEvent
from notifier.db.tables.notification import (
    Attachment,
    Batch,
    Notification,
    NotificationContent,
    NotificationTag,
    StatusIndex,
)
from notifier.db.tables.outbox import OutboxEntry, RelayConnections, RelayState, SenderProcess
from notifier.db.tables.service import ApiKey, Service
from notifier.db.tables.suppression import INSTANCE, Suppression
from notifier.db.tables.template import (
    Asset,
    AssetFile,
    Template,
    TemplateDraft,
    TemplateLayout,
    TemplateUse,
    TemplateVersion,
)
from notifier.db.tables.webhook import DeliveryState, WebhookAttempt, WebhookDelivery, WebhookEndpoint, WebhookEvent

__all__ = [
    "INSTANCE",
    "ApiKey",
    "Asset",
    "AssetFile",
    "Attachment",
    "Attempt",
    "AuditEntry",
    "Batch",
    "DeliveryState",
    "Notification",
    "NotificationContent",
    "NotificationEvent",
    "NotificationTag",
    "OutboxEntry",
    "RelayConnections",
    "RelayState",
    "SenderProcess",
    "Service",
    "StatusIndex",
    "Suppression",
    "Table",
    "Template",
    "TemplateDraft",
    "TemplateLayout",
    "TemplateUse",
    "TemplateVersion",
    "WebhookAttempt",
    "WebhookDelivery",
    "WebhookEndpoint",
    "WebhookEvent",
    "get_columns",
]
