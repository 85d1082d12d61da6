"""The rules of the retention without a database."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from notifier.retention.retention_policy import FamilyMember, RetentionPolicy
from notifier.retention_settings import RetentionSettings
from notifier.states import Status

NOW = datetime(2026, 1, 1, tzinfo=UTC)
POLICY = RetentionPolicy(settings=RetentionSettings(), key_lifetime=timedelta(days=7))


def _member(status: Status, *, age: float = 0, has_entry: bool = False, has_key: bool = False) -> FamilyMember:
    at = NOW - timedelta(days=age)
    return FamilyMember(status=status, updated_at=at, created_at=at, has_key=has_key, has_entry=has_entry)


@pytest.mark.parametrize("status", [Status.QUEUED, Status.DEFERRED])
def test_what_waits_has_no_end_even_if_its_entry_is_missing(status: Status) -> None:
    """A notification that waits and has lost its entry is never deleted by the purge: a person has to look."""
    assert POLICY.compute_content_end([_member(status)], None, None) is None


def test_the_last_of_a_family_counts() -> None:
    """The content is kept until the days after the last end have passed."""
    family = [_member(Status.SENT, age=5), _member(Status.FAILED, age=1)]
    assert POLICY.compute_content_end(family, None, None) == NOW + timedelta(days=6)
    assert POLICY.compute_secret_end(family) == NOW


def test_a_lowered_ceiling_holds_for_what_was_set_before() -> None:
    """Days above the ceiling count as the ceiling."""
    assert POLICY.get_content_time(None, 400) == timedelta(days=90)
    assert POLICY.get_content_time(400, None) == timedelta(days=90)
    assert POLICY.get_content_time(400, 0) == timedelta(0)


def test_a_key_keeps_its_family() -> None:
    """An idempotency key that still counts keeps the notification, and one that does not keeps nothing."""
    settings = RetentionSettings(notification_days=0)
    policy = RetentionPolicy(settings=settings, key_lifetime=timedelta(days=7))
    assert policy.compute_notification_end([_member(Status.SENT, age=2, has_key=True)], None) == NOW + timedelta(days=5)
    assert policy.compute_notification_end([_member(Status.SENT, age=2)], None) == NOW - timedelta(days=2)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"content_days": 91}, "NOTIFIER_RETENTION__MAX_CONTENT_DAYS"),
        ({"notification_days": 731}, "NOTIFIER_RETENTION__MAX_NOTIFICATION_DAYS"),
        ({"audit_days": 364}, "greater than or equal to 365"),
        ({"content_days": -1}, "greater than or equal to 0"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings: dict[str, float], words: str) -> None:
    """Days above their ceiling, and an audit below a year, are refused in one sentence."""
    with pytest.raises(ValidationError, match=words):
        RetentionSettings(**settings)
