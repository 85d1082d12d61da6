"""From typed keywords to JSON: names, times, attachments, and values that JSON cannot express."""

import base64
import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest

from notifier.client import (
    Attachment,
    UnsendableError,
    account,
    feed_calls,
    job_calls,
    merge_calls,
    statistics_calls,
)
from notifier.client import notification_calls as calls
from notifier.client import template_calls as templates
from notifier.client.api_call import Call

ID = UUID("0197c0de-0000-7000-8000-000000000001")


def body(call: Call[Any]) -> Any:
    """The body of a call."""
    assert call.body is not None
    return json.loads(call.body)


def test_every_field_has_the_name_that_the_api_knows() -> None:
    """Every field is sent under the API's name; None is left out, an empty value is not."""
    call = calls.send_notification(
        to="ada@example.com",
        cc=["bob@example.com"],
        bcc=(),
        from_="Shop <orders@shop.example>",
        reply_to=None,
        content={"subject": "Hello", "text": "Hello"},
        variables=MappingProxyType({"when": date(2026, 1, 31), "id": ID, "at": datetime(2026, 1, 31, tzinfo=UTC)}),
        headers={"X-Order": "1"},
        tags=["order"],
        metadata={"order": "1"},
        send_at=datetime(2026, 1, 31, 12, tzinfo=timezone(timedelta(hours=1))),
        priority="high",
        attachments=[Attachment(filename="a.pdf", content=b"%PDF", content_id="a")],
    )
    assert body(call) == {
        "to": "ada@example.com",
        "cc": ["bob@example.com"],
        "bcc": [],
        "from": "Shop <orders@shop.example>",
        "content": {"subject": "Hello", "text": "Hello"},
        "variables": {"when": "2026-01-31", "id": str(ID), "at": "2026-01-31T00:00:00+00:00"},
        "headers": {"X-Order": "1"},
        "tags": ["order"],
        "metadata": {"order": "1"},
        "send_at": "2026-01-31T12:00:00+01:00",
        "priority": "high",
        "attachments": [
            {"filename": "a.pdf", "content": "JVBERg==", "content_type": "application/pdf", "content_id": "a"}
        ],
    }


def test_a_batch_translates_each_of_its_parts() -> None:
    """The defaults and every item of a batch are translated to the API's names; None within variables stays."""
    call = calls.send_batch(
        [{"to": "a@x.org", "idempotency_key": "1"}, {"to": "b@x.org", "from_": "c@x.org", "variables": {"x": None}}],
        defaults={"from_": "d@x.org", "template": "welcome"},
        on_error="skip_invalid",
        idempotency_key="batch",
    )
    assert body(call) == {
        "defaults": {"from": "d@x.org", "template": "welcome"},
        "notifications": [
            {"to": "a@x.org", "idempotency_key": "1"},
            {"to": "b@x.org", "from": "c@x.org", "variables": {"x": None}},
        ],
        "on_error": "skip_invalid",
    }
    assert call.headers == {"Content-Type": "application/json", "Idempotency-Key": "batch"}
    assert "defaults" not in body(calls.send_batch([]))


@pytest.mark.parametrize(
    "variables",
    [{"x": Decimal(1)}, {"x": float("nan")}, {"x": object()}, {"x": datetime(2026, 1, 31)}, {("a",): 1}],  # noqa: DTZ001
    ids=["decimal", "nan", "object", "naive time", "key"],
)
def test_what_json_cannot_say_is_refused_at_once(variables: Any) -> None:
    """A value that JSON cannot express raises a ValueError of ours before anything is sent."""
    with pytest.raises(UnsendableError) as caught:
        calls.send_notification(to="a@x.org", variables=variables)
    assert isinstance(caught.value, ValueError)


def test_an_endless_value_is_refused() -> None:
    """A value that contains itself is refused."""
    endless: dict[str, Any] = {}
    endless["x"] = endless
    with pytest.raises(UnsendableError):
        calls.send_notification(to="a@x.org", variables=endless)


def test_an_attachment_from_the_disk(tmp_path: Path) -> None:
    """An attachment gets the file's name and a guessed type, or the generic one; its repr shows no content."""
    (tmp_path / "plan.svg").write_bytes(b"<svg/>")
    plan = Attachment.from_path(tmp_path / "plan.svg", content_id="plan")
    assert (plan.filename, plan.content) == ("plan.svg", b"<svg/>")
    odd = Attachment(filename="odd.thing-nobody-knows", content=b"secret")
    assert "secret" not in repr(odd)
    sent = body(calls.send_notification(to="a@x.org", attachments=[plan, odd]))["attachments"]
    assert [attachment["content_type"] for attachment in sent] == ["image/svg+xml", "application/octet-stream"]
    assert base64.b64decode(sent[0]["content"]) == b"<svg/>"


@pytest.mark.parametrize("id_", ["", "..", "a/b", "a?b", "a%2fb", "ä", "a b", "x\n"])
def test_an_id_leads_nowhere_else(id_: str) -> None:
    """An invalid id is refused, because it could lead to another path."""
    for build in (
        calls.get_notification,
        calls.get_notification_events,
        calls.cancel_notification,
        calls.retry_notification,
        calls.get_batch,
        account.get_webhook,
        account.lift_suppression,
        templates.get_template,
        templates.get_layout,
        job_calls.watch_job,
        job_calls.get_schedule,
        feed_calls.fetch_feed,
        merge_calls.start_merge,
    ):
        with pytest.raises(UnsendableError):
            build(id_)


def test_a_filter_is_a_query() -> None:
    """Each kind of filter value is written as the API reads it; None is left out."""
    call = calls.list_notifications(
        limit=20, before=ID, status=None, to="a+b@x.org", created_after=datetime(2026, 1, 31, tzinfo=UTC), copies=False
    )
    assert call.query == {
        "limit": "20",
        "before": str(ID),
        "to": "a+b@x.org",
        "created_after": "2026-01-31T00:00:00+00:00",
        "copies": "false",
    }
    with pytest.raises(UnsendableError):
        calls.list_notifications(created_after=datetime(2026, 1, 31))  # noqa: DTZ001


def test_calls_that_say_more_than_their_path() -> None:
    """Dry run and raw bytes are requested in the query, a decision in the body."""
    assert calls.dry_run_notification(to="a@x.org").query == {"dry_run": "true"}
    assert calls.get_notification_eml(ID).query == {"format": "eml"}
    assert calls.get_notification_eml(ID).headers == {"Accept": "message/rfc822, application/problem+json"}
    assert body(calls.resolve_notification(ID, "sent")) == {"as": "sent"}
    assert body(calls.update_notification(ID, priority="high")) == {"priority": "high"}


def test_the_filters_of_statistics_and_merges() -> None:
    """`from_` is sent as `from`, and `map_` as one parameter for each heading; a colon may be in a heading."""
    begin = datetime(2026, 1, 31, tzinfo=UTC)
    query = statistics_calls.get_statistics(by="hour", from_=begin, template=None).query
    assert query == {"by": "hour", "from": "2026-01-31T00:00:00+00:00"}
    mapping = {"Betrag": "order.total", "Note: internal": ""}
    query = merge_calls.create_merge(b"x", template="welcome", map_=mapping).query
    assert query == {"template": "welcome", "map": ["Betrag:order.total", "Note: internal:"]}
    assert merge_calls.create_merge(template="welcome", feed="people").query == {
        "template": "welcome",
        "feed": "people",
    }
    assert merge_calls.list_merge_faults(ID, after=4).query == {"after": "4"}


def test_settings_are_sent_as_a_whole() -> None:
    """A schedule and a feed are sent with the fields that are given; empty headers are not left out."""
    schedule = job_calls.save_schedule("nightly", timing="0 3 * * *", action="purge", enabled=False, revision=0)
    assert body(schedule) == {"timing": "0 3 * * *", "action": "purge", "enabled": False, "revision": 0}
    feed = feed_calls.save_feed("prices", url="https://shop.example/", headers={}, json_schema=None, row_key="id")
    assert body(feed) == {"url": "https://shop.example/", "headers": {}, "row_key": "id"}
    assert body(merge_calls.start_merge(ID)) == {}
    assert body(merge_calls.start_merge(ID, on_error="skip_invalid", per_minute=5)) == {
        "on_error": "skip_invalid",
        "per_minute": 5,
    }
