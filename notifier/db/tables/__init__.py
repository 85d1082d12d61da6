"""The tables, one noun per file. Importing this package loads them all into the metadata, for migrations."""

from notifier.db.table_base import Table, get_columns
from notifier.db.tables.feed import Feed, FeedRevision, FeedStatus
from notifier.db.tables.job import JobRun, Schedule
from notifier.db.tables.merge import Merge, MergeChunk, MergeFault, MergeRecipient
from notifier.db.tables.notification import (
    Attachment,
    Attempt,
    Batch,
    Notification,
    NotificationContent,
    NotificationEvent,
    NotificationTag,
    StatusIndex,
)
from notifier.db.tables.outbox import OutboxEntry, RelayConnections, RelayState, SenderProcess
from notifier.db.tables.service import INSTANCE, ApiKey, AuditEntry, Service, Suppression
from notifier.db.tables.staff import LinkPurpose, OidcRequest, SignInWait, StaffLink, StaffLogin, StaffUser
from notifier.db.tables.statistics import StatisticsCount, StatisticsHour, StatisticsRange
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
    "Feed",
    "FeedRevision",
    "FeedStatus",
    "JobRun",
    "LinkPurpose",
    "Merge",
    "MergeChunk",
    "MergeFault",
    "MergeRecipient",
    "Notification",
    "NotificationContent",
    "NotificationEvent",
    "NotificationTag",
    "OidcRequest",
    "OutboxEntry",
    "RelayConnections",
    "RelayState",
    "Schedule",
    "SenderProcess",
    "Service",
    "SignInWait",
    "StaffLink",
    "StaffLogin",
    "StaffUser",
    "StatisticsCount",
    "StatisticsHour",
    "StatisticsRange",
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
