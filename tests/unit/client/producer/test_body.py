"""What may become a row: everything that JSON and the API accept, and nothing that would be refused later."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from notifier.client import Attachment
from notifier.client.producer import UnsendableError
from notifier.client.producer_row import MAX_ATTACHMENT_BYTES, MAX_BODY_BYTES, MAX_DEPTH, build_row_body

MAIL: dict[str, Any] = {"to": "ada@example.com", "template": "welcome"}


def _nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth - 1):
        value = {"in": value}
    return value


def test_the_body_is_what_the_api_reads() -> None:
    """The body has the API's field names, times as text, files as base64, and unescaped letters."""
    body = build_row_body(
        MAIL
        | {
            "from_": "Shop <orders@shop.example>",
            "variables": {"name": "Zoë", "path": "C:\\u0000"},
            "send_at": datetime(2026, 12, 1, 8, tzinfo=UTC),
            "attachments": [Attachment(filename="a.txt", content=b"hello")],
            "locale": None,
        }
    )
    assert "Zoë" in body
    assert json.loads(body) == {
        "to": "ada@example.com",
        "template": "welcome",
        "from": "Shop <orders@shop.example>",
        "variables": {"name": "Zoë", "path": "C:\\u0000"},
        "send_at": "2026-12-01T08:00:00+00:00",
        "attachments": [{"filename": "a.txt", "content": "aGVsbG8=", "content_type": "text/plain"}],
    }


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"to": ["ada@example.com"]}, "to must be one address"),
        ({"to": "ada"}, "to must be one address"),
        ({"template": None}, "either template or content"),
        ({"content": {"subject": "Hi", "text": "x"}}, "either template or content"),
        ({"variables": {"price": object()}}, "object"),
        ({"variables": {"price": float("nan")}}, "JSON"),
        ({"variables": {"name": "a\x00b"}}, "NUL"),
        ({"variables": {"name\x00": "b"}}, "NUL"),
        ({"variables": {"name": "\\\x00"}}, "NUL"),
        ({"variables": {"name": "\ud83d"}}, "surrogate"),
        ({"variables": {1: "a", "1": "b"}}, "same text"),
        ({"variables": {"n": 2**63 + 1}}, "2\\^63"),
        ({"variables": _nested(MAX_DEPTH)}, "nested"),
        ({"send_at": datetime(2026, 12, 1, 8)}, "time zone"),  # noqa: DTZ001 - that is the point
        ({"variables": {"text": "ä" * (MAX_BODY_BYTES // 2)}}, "bytes without its attachments"),
        ({"attachments": [Attachment(filename="a", content=bytes(MAX_ATTACHMENT_BYTES + 1))]}, "attachments have"),
    ],
)
def test_what_would_be_refused_later_is_refused_now(fields: dict[str, Any], why: str) -> None:
    """A body that the API would refuse raises an error that says what is wrong."""
    with pytest.raises(UnsendableError, match=why):
        build_row_body(MAIL | fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"variables": {"n": 2**63, "m": -(2**63)}},
        {"variables": _nested(MAX_DEPTH - 1)},
        {"variables": {"name": "\U0001f600"}},
        {"variables": {"text": "ä" * (MAX_BODY_BYTES // 2 - 100)}},
        {"attachments": [Attachment(filename="a", content=bytes(MAX_ATTACHMENT_BYTES))]},
    ],
)
def test_what_is_just_allowed_is_taken(fields: dict[str, Any]) -> None:
    """Values exactly at each limit are accepted."""
    assert json.loads(build_row_body(MAIL | fields))["to"] == "ada@example.com"


def test_a_field_that_there_is_not_is_a_wrong_call() -> None:
    """An unknown field raises at once, so that a typing error is not discovered a day later in a refused row."""
    with pytest.raises(TypeError, match="'variable'"):
        build_row_body(MAIL | {"variable": {}})
