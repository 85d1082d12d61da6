"""The webhooks in openapi.json are the bodies that are really sent."""

import itertools
import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from support.documented_transport import DOCUMENT, build_validator, resolve_reference

from notifier.states import Status
from notifier.webhooks import webhook_event
from notifier.webhooks.webhook_event import EventDetails

ID = UUID("01936f0e-7d6a-7c3e-9b54-3f0a4c1d2e5b")
AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
TRY = {"number": 1, "code": 250, "enhanced_code": None, "reply": "queued"}
CHANGED, TESTED = "notification.<status>", "webhook.test"


def _schema(event: str) -> dict[str, Any]:
    content = DOCUMENT["webhooks"][event]["post"]["requestBody"]["content"]
    schema: dict[str, Any] = content["application/json"]["schema"]
    return schema


def _build_event(status: Status, *, full: bool, kind: str) -> EventDetails:
    return EventDetails(
        event_id=ID,
        service_id=ID,
        type=f"{webhook_event.EVENT_TYPE_PREFIX}{status}",
        at=AT,
        sequence=1,
        reason="expired" if full else None,
        detail="too late" if full else None,
        notification_id=ID,
        to="ada@example.com",
        role="cc" if full else "to",
        kind=kind,
        parent_id=ID if full else None,
        batch_id=ID if full else None,
        template="welcome" if full else None,
        template_version=1 if full else None,
        tags=["orders"] if full else None,
        metadata={"order": "42"} if full else None,
        message_id="<1@shop.example>",
        created_at=AT,
        attempt=TRY if full else None,
    )


def test_every_event_is_as_the_document_says() -> None:
    """The body of each status matches its schema, with and without optional fields; together they use every field."""
    check, seen = build_validator(_schema(CHANGED)), set()
    for status, full, kind in itertools.product(Status, (True, False), ("live", "test")):
        payload = json.loads(webhook_event.build_notification_body(_build_event(status, full=full, kind=kind)))
        assert [str(fault) for fault in check.iter_errors(payload)] == [], status
        seen |= set(payload["data"])
    described = resolve_reference(resolve_reference(_schema(CHANGED))["properties"]["data"])["properties"]
    assert seen == set(described)


def test_the_test_is_as_the_document_says() -> None:
    """The test event has a schema of its own, which it matches."""
    payload = json.loads(webhook_event.build_test_body(ID, AT))
    assert [str(fault) for fault in build_validator(_schema(TESTED)).iter_errors(payload)] == []
    assert set(payload["data"]) == set(
        resolve_reference(resolve_reference(_schema(TESTED))["properties"]["data"])["properties"]
    )


@pytest.mark.parametrize("event", [CHANGED, TESTED])
def test_a_field_that_is_not_described_is_noticed(event: str) -> None:
    """A field without a description in the schema fails the comparison."""
    (example,) = resolve_reference(_schema(event))["examples"]
    check = build_validator(_schema(event))
    assert check.is_valid(example)
    assert not check.is_valid(example | {"data": example["data"] | {"another": 1}})


def test_every_type_that_can_be_asked_for_is_described() -> None:
    """The pattern of event types in the document matches the list in the code."""
    pattern = resolve_reference(_schema(CHANGED))["properties"]["type"]
    assert all(build_validator(pattern).is_valid(type_) for type_ in webhook_event.EVENT_TYPES)
    assert not build_validator(pattern).is_valid(webhook_event.TEST_EVENT_TYPE)
