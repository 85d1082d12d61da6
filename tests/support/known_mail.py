"""What is known about a mail, for tests of what is said about it."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from notifier.ids import generate_id
from notifier.lookup.notification_view import AttemptView, NotificationView
from notifier.outcomes import OutcomeName, SmtpPhase
from notifier.states import WAITING_STATUSES, Category, EntryState, KeyKind, Priority, Reason, Role, Status

NOW = datetime(2026, 12, 4, 14, 2, tzinfo=UTC)  # a Friday


def build_view(status: Status, reason: Reason | None = None, **fields: Any) -> NotificationView:
    """Build what is known about a mail to Bob; fields that are not given have usual values."""
    waits = status in WAITING_STATUSES
    standard: dict[str, Any] = {
        "id": generate_id(),
        "recipient": "bob@example.com",
        "role": Role.TO,
        "parent_id": None,
        "batch_id": None,
        "kind": KeyKind.LIVE,
        "template": "order_shipped",
        "template_version": 7,
        "template_version_id": generate_id(),
        "service_id": generate_id(),
        "service": "shop",
        "category": Category.TRANSACTIONAL,
        "locale": "en",
        "priority": Priority.NORMAL,
        "message_id": "<a@example.com>",
        "tags": None,
        "meta": None,
        "created_by": f"key:{UUID(int=1)}",
        "created_at": NOW,
        "updated_at": NOW,
        "send_at": NOW,
        "expires_at": NOW + timedelta(hours=4),
        "uncertain_at": None,
        "when_uncertain": None,
        "due_at": NOW + timedelta(minutes=18) if waits else None,
        "entry_state": EntryState.READY if waits else None,
        "detail": None,
    }
    return NotificationView(status=status, reason=reason, **standard | fields)


def build_attempt(code: int, enhanced: str | None) -> AttemptView:
    """Build a refused attempt."""
    return AttemptView(
        number=1,
        started_at=NOW,
        duration_ms=212,
        relay="mx1",
        phase=SmtpPhase.RCPT,
        outcome=OutcomeName.REJECTED,
        code=code,
        enhanced_code=enhanced,
        reply="no",
    )
