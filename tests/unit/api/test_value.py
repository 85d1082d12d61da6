"""What the document says of a value is what the domain accepts."""

import re

from hypothesis import example, given
from hypothesis import strategies as st

from notifier import header_names
from notifier.api import fields
from notifier.api.batches.models import BatchItemIn
from notifier.api.notifications.submission_models import NotificationIn
from notifier.api.request_reader import IDEMPOTENCY_KEY_PATTERN, parse_idempotency_key
from notifier.submission import attachment_validation, request_validation

_FIELDS = ["List-Unsubscribe", "X-Notifier-Id", "x-NOTIFIER", "Bcc", "X-", "X-Order"]
_LETTERS = st.text(alphabet="aXx-9.@_=+/ \n\r\té\u0085\u2028\x7f", max_size=12)


def _says(pattern: str, text: str) -> bool:
    """As JSON Schema reads it: `$` is the end and nothing before it."""
    return re.search(pattern.removesuffix("$") + r"\Z" if pattern.endswith("$") else pattern, text) is not None


@given(_LETTERS | st.sampled_from(_FIELDS))
@example("X-Order\n")
def test_names_of_header_fields(name: str) -> None:
    """Whatever an operator allows is in the document; which `X-…` those are it cannot know."""
    for item in (name, *header_names.STANDARD_HEADERS):
        faults = {fault.code for fault in request_validation.check_headers({item: "1"}, {item.lower()})}
        assert _says(fields.HEADER_NAME_PATTERN, item) or "header_not_allowed" in faults, item
    assert all(
        _says(fields.HEADER_NAME_PATTERN, item)
        for item in (*header_names.STANDARD_HEADERS, *header_names.DEFAULT_ALLOWED_HEADERS)
    )


@given(_LETTERS)
@example("fr-CA")
@example("en\n")
def test_language_tags(tag: str) -> None:
    """BCP 47, as far as it is looked at."""
    assert _says(fields.LOCALE_PATTERN, tag) == (request_validation.check_locale(tag) == [])


@given(_LETTERS)
@example("logo@shop.example")
def test_content_ids(text: str) -> None:
    """Of inline images."""
    assert _says(fields.CONTENT_ID_PATTERN, text) == (attachment_validation._CONTENT_ID.fullmatch(text) is not None)


@given(st.text(alphabet="aZ9+/=\n-", max_size=9))
@example("SGVsbG8sIEFkYSE==")
def test_base64(text: str) -> None:
    """Padded, with nothing between, before or behind."""
    assert _says(fields.BASE64_PATTERN, text) == (attachment_validation.decode_base64(text)[0] is not None)


@given(_LETTERS)
def test_lines(text: str) -> None:
    """A subject, which stands in a header field."""
    assert _says(fields._LINE_PATTERN, text) == (
        request_validation.check_content({"subject": text, "html": None, "text": "x"}) == []
    )


@given(_LETTERS)
@example("order-7")
@example("order 7")
@example(" 7")
@example('"order-7"')
@example('"order-7')
@example('"order-7";a=1')
@example(r'"an \"escaped\" \\ key"')
@example(r'"a\b"')
@example('" 7"')
@example('""')
@example('or"der')
def test_idempotency_keys(key: str) -> None:
    """Printable ASCII, with no space at either end, in quotes or without."""
    assert _says(IDEMPOTENCY_KEY_PATTERN, key) == (parse_idempotency_key(key)[1] is None)


def test_how_many() -> None:
    """The limits that the domain has stand in the document."""
    properties = NotificationIn.model_json_schema()["properties"]
    schemas = {name: schema.get("anyOf", [schema])[0] for name, schema in properties.items()}
    assert (schemas["cc"]["maxItems"], schemas["bcc"]["maxItems"]) == (
        request_validation.MAX_COPIES,
        request_validation.MAX_COPIES,
    )
    assert schemas["headers"]["maxProperties"] == request_validation.MAX_HEADERS
    assert schemas["attachments"]["maxItems"] == attachment_validation.MAX_ATTACHMENTS
    assert "required" not in BatchItemIn.model_json_schema()
