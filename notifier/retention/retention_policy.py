"""How long data is kept: the settings, and what services and templates say instead, within the operator's ceilings.

Pure: no database. The purge and the API ask the same functions, so that what the API says is what happens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from notifier.retention_settings import RetentionSettings
from notifier.settings import ApiSettings
from notifier.states import WAITING_STATUSES, Status

SECRET_KEPT = timedelta(hours=24)
"""How long secret variables are kept after an end other than `sent`."""
CLOCK_MARGIN = timedelta(hours=1)
"""By how much the clock of a host that makes ids may be ahead of the database's."""


@dataclass(frozen=True, kw_only=True)
class FamilyMember:
    """What decides how long a notification is kept."""

    status: Status
    updated_at: datetime  # of its last change of status
    created_at: datetime
    has_key: bool  # an idempotency key
    has_entry: bool  # an outbox entry: it waits, is under way, or is held for a person

    @property
    def ended_at(self) -> datetime | None:
        """When it ended; None: it still waits. Unknown without an entry: closed, because nobody resolved it in time."""
        if self.has_entry or (self.status in WAITING_STATUSES and self.status is not Status.UNKNOWN):
            return None
        return self.updated_at


def compute_end(family: Sequence[FamilyMember]) -> datetime | None:
    """Compute when the last of a family ended; None: one of them still waits. They share one content."""
    ends = [member.ended_at for member in family]
    return max(end for end in ends if end is not None) if None not in ends else None


@dataclass(frozen=True, kw_only=True)
class RetentionPolicy:
    """The rules in force."""

    settings: RetentionSettings
    key_lifetime: timedelta  # of an idempotency key

    @classmethod
    def from_settings(cls, retention: RetentionSettings, api: ApiSettings) -> Self:
        """Build the policy from the settings."""
        return cls(settings=retention, key_lifetime=timedelta(days=api.idempotency_days))

    @property
    def webhooks(self) -> timedelta:
        """How long webhook events and deliveries are kept."""
        return timedelta(days=self.settings.webhook_days)

    @property
    def jobs(self) -> timedelta:
        """How long a job run is kept after its end."""
        return timedelta(days=self.settings.job_days)

    @property
    def audit(self) -> timedelta:
        """How long an audit record is kept."""
        return timedelta(days=self.settings.audit_days)

    def get_content_time(self, service_days: int | None, template_days: int | None) -> timedelta:
        """Get how long content is kept after the end. A template goes before its service, a service before the setting.

        Nothing is kept beyond the ceiling, which may have been lowered since.
        """
        days = next((days for days in (template_days, service_days) if days is not None), self.settings.content_days)
        return timedelta(days=min(days, self.settings.max_content_days))

    def get_notification_time(self, service_days: int | None) -> timedelta:
        """Get how long a notification is kept after the end; it is never deleted before its content."""
        days = service_days if service_days is not None else self.settings.notification_days
        return timedelta(days=min(days, self.settings.max_notification_days))

    def compute_content_end(
        self, family: Sequence[FamilyMember], service_days: int | None, template_days: int | None
    ) -> datetime | None:
        """Compute when the content of a family is erased; None: one of it still waits."""
        end = compute_end(family)
        return end + self.get_content_time(service_days, template_days) if end is not None else None

    def compute_secret_end(self, family: Sequence[FamilyMember]) -> datetime | None:
        """Compute when the secret variables of a family are erased; None: one of it still waits."""
        ends = [member.ended_at for member in family]
        if None in ends:
            return None
        return max(_get_secret_end(member) for member in family)

    def compute_notification_end(self, family: Sequence[FamilyMember], service_days: int | None) -> datetime | None:
        """Compute when a family without content is deleted; None: one of it still waits.

        An idempotency key that still counts keeps it longer.
        """
        end = compute_end(family)
        if end is None:
            return None
        kept = [member.created_at + self.key_lifetime for member in family if member.has_key]
        return (
            max(end + self.get_notification_time(service_days), *kept)
            if kept
            else end + self.get_notification_time(service_days)
        )


_LEFT = frozenset({Status.SENT, Status.DELIVERED, Status.BOUNCED, Status.COMPLAINED})


def _get_secret_end(member: FamilyMember) -> datetime:
    """A mail that has left is never sent again, so it needs no secret."""
    return member.updated_at if member.status in _LEFT else member.updated_at + SECRET_KEPT
