"""From a JSON value to what a caller wants: every fault of shape, and the sound fields kept for further checks."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.api.notifications import models, submission_models
from notifier.api.notifications.submission_models import NotificationIn
from notifier.states import Priority, Status, WhenUncertain
from notifier.submission.new_notification import NotificationRequest

SOUND: dict[str, Any] = {"to": "ada@example.com", "template": "welcome", "variables": {"name": "Ada"}}
FIELDS = sorted(field.alias or name for name, field in NotificationIn.model_fields.items())
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


def _faults(body: Any) -> set[tuple[str, str]]:
    return {(fault.pointer, fault.code) for fault in submission_models.parse_notification(body)[1]}


def test_a_full_request_is_taken_over_field_by_field() -> None:
    """Every field arrives under the domain's name, times aware and priority as a word of the closed set."""
    body = SOUND | {
        "cc": ["c@example.com"],
        "bcc": ["d@example.com"],
        "template_version": 3,
        "attachments": [{"filename": "a.txt", "content": "YQ==", "content_type": "text/plain"}],
        "tags": ["orders"],
        "metadata": {"order": "42"},
        "from": "Shop <a@shop.example>",
        "reply_to": "b@shop.example",
        "locale": "fr-CA",
        "headers": {"X-Order": "42"},
        "send_at": "2026-01-31T12:00:00+01:00",
        "expires_at": "2026-02-01T12:00:00Z",
        "priority": "bulk",
        "when_uncertain": "hold",
    }
    assert set(body) == set(FIELDS) - {"content"}
    assert submission_models.parse_notification(body) == (
        NotificationRequest(
            to="ada@example.com",
            cc=["c@example.com"],
            bcc=["d@example.com"],
            attachments=[{"filename": "a.txt", "content": "YQ==", "content_type": "text/plain", "content_id": None}],
            tags=["orders"],
            metadata={"order": "42"},
            sender="Shop <a@shop.example>",
            reply_to="b@shop.example",
            template="welcome",
            template_version=3,
            variables={"name": "Ada"},
            locale="fr-CA",
            headers={"X-Order": "42"},
            send_at=datetime(2026, 1, 31, 11, tzinfo=UTC),
            expires_at=datetime(2026, 2, 1, 12, tzinfo=UTC),
            priority=Priority.BULK,
            when_uncertain=WhenUncertain.HOLD,
        ),
        [],
    )


def test_what_is_not_given_keeps_its_default() -> None:
    """An absent field and a null are the same where null is allowed."""
    notification, faults = submission_models.parse_notification(
        SOUND | {"locale": None, "send_at": None, "priority": None}
    )
    assert faults == []
    assert notification == NotificationRequest(**SOUND)


@pytest.mark.parametrize("body", [None, True, 1, 1.5, "x", [SOUND]])
def test_a_body_that_is_no_object_is_one_fault(body: Any) -> None:
    """It points at the whole body."""
    assert submission_models.parse_notification(body)[0] == NotificationRequest()
    assert _faults(body) == {("", "invalid_type")}


@pytest.mark.parametrize(
    ("field", "value", "pointer", "code"),
    [
        ("to", 1, "/to", "invalid_type"),
        ("to", None, "/to", "invalid_type"),
        ("to", "a" * 321, "/to", "too_long"),
        ("template", ["welcome"], "/template", "invalid_type"),
        ("template", "a" * 65, "/template", "too_long"),
        ("template_version", "1", "/template_version", "invalid_type"),
        ("template_version", 1.5, "/template_version", "invalid_type"),
        ("template_version", True, "/template_version", "invalid_type"),
        ("template_version", 0, "/template_version", "invalid_type"),
        ("template_version", 2**31, "/template_version", "invalid_type"),
        ("variables", [], "/variables", "invalid_type"),
        ("from", {}, "/from", "invalid_type"),
        ("from", "a" * 999, "/from", "too_long"),
        ("reply_to", "a" * 999, "/reply_to", "too_long"),
        ("locale", "a" * 36, "/locale", "too_long"),
        ("headers", {"X-A": None}, "/headers/X-A", "invalid_type"),
        ("headers", {"a/b~c": 1}, "/headers/a~1b~0c", "invalid_type"),
        ("send_at", 1_900_000_000, "/send_at", "invalid_type"),
        ("send_at", "noon", "/send_at", "invalid_type"),
        ("send_at", "1900000000", "/send_at", "invalid_type"),
        ("send_at", "2026-02-30T12:00:00Z", "/send_at", "invalid_type"),
        ("expires_at", True, "/expires_at", "invalid_type"),
        ("priority", "urgent", "/priority", "invalid_type"),
        ("priority", 1, "/priority", "invalid_type"),
        ("from_", "a@x.org", "/from_", "unknown_field"),
        ("sender", "a@x.org", "/sender", "unknown_field"),
        ("variables_", {}, "/variables_", "unknown_field"),
        ("a/b~c", 1, "/a~1b~0c", "unknown_field"),
        ("", 1, "/", "unknown_field"),
    ],
)
def test_a_fault_names_its_place_and_leaves_the_rest(field: str, value: Any, pointer: str, code: str) -> None:
    """The pointer is RFC 6901's; fields without fault are kept so that they are checked as well."""
    notification, faults = submission_models.parse_notification(SOUND | {field: value})
    assert {(fault.pointer, fault.code) for fault in faults} == {(pointer, code)}
    assert all(fault.detail for fault in faults)
    for name in {"to", "template", "variables"} - {field}:
        assert getattr(notification, name) == SOUND[name]


def test_a_whole_number_may_be_written_with_a_point() -> None:
    """3.0 is the number 3 in JSON, whoever wrote it."""
    notification, faults = submission_models.parse_notification(SOUND | {"template_version": 3.0})
    assert (faults, notification.template_version) == ([], 3)
    assert type(notification.template_version) is int


def test_missing_fields_are_faults_and_never_guessed() -> None:
    """Without recipient and template both are named, and nothing stands in for them."""
    notification, faults = submission_models.parse_notification({"priority": "high"})
    assert {(fault.pointer, fault.code) for fault in faults} == {
        ("/to", "missing_field"),
        ("/template", "missing_field"),
    }
    assert (notification.to, notification.template, notification.priority) == (None, None, Priority.HIGH)


def test_variables_that_are_no_object_are_not_checked_further() -> None:
    """One fault is enough; a template's variables are not called missing as well."""
    assert submission_models.parse_notification(SOUND | {"variables": "x"})[0].variables is None
    assert submission_models.parse_notification(SOUND | {"variables_": "x"})[0].variables == SOUND["variables"]


@given(st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=8), _VALUES, max_size=6))
def test_any_object_is_parsed_or_refused(body: dict[str, Any]) -> None:
    """Nothing is raised; a fault's pointer begins at a field of the body or at a missing one; sound fields are kept."""
    notification, faults = submission_models.parse_notification(body)
    for fault in faults:
        first = fault.pointer.split("/")[1].replace("~1", "/").replace("~0", "~")
        assert first in body or (first in {"to", "template"} and fault.code == "missing_field")
    at_fault = {fault.pointer.split("/")[1] for fault in faults}
    for name in {"to", "template", "locale", "reply_to"} - at_fault:
        assert getattr(notification, name) == body.get(name)


@pytest.mark.parametrize("status", Status)
def test_only_a_queued_notification_with_a_time_ahead_is_scheduled(status: Status) -> None:
    """`scheduled` is how `queued` is shown until `send_at`; every other status is shown as it is."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    ahead = "scheduled" if status is Status.QUEUED else status.value
    assert models.get_shown_status(status, now + timedelta(seconds=1), now) == ahead
    assert models.get_shown_status(status, now, now) == status.value
