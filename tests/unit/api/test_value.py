"""What the document says of a value is what the domain accepts."""

import re

from hypothesis import example, given
from hypothesis import strategies as st

from notifier import header_names
from notifier.api import value
from notifier.api.batch import BatchItemIn
from notifier.api.request import KEY_PATTERN, read_key
from notifier.api.schema import NotificationIn
from notifier.notification import attachment, check

_FIELDS = ["List-Unsubscribe", "X-Notifier-Id", "x-NOTIFIER", "Bcc", "X-", "X-Order"]
_LETTERS = st.text(alphabet="aXx-9.@_=+/ \n\r\té\u0085\u2028\x7f", max_size=12)


def _says(pattern: str, text: str) -> bool:
    """As JSON Schema reads it: `$` is the end and nothing before it."""
    return re.search(pattern.removesuffix("$") + r"\Z" if pattern.endswith("$") else pattern, text) is not None


@given(_LETTERS | st.sampled_from(_FIELDS))
@example("X-Order\n")
def test_names_of_header_fields(name: str) -> None:
    """Whatever an operator allows is in the document; which `X-…` those are it cannot know."""
    for one in (name, *header_names.STANDARD):
        faults = {fault.code for fault in check.faults_in_headers({one: "1"}, {one.lower()})}
        assert _says(value.HEADER_NAME, one) or "header_not_allowed" in faults, one
    assert all(_says(value.HEADER_NAME, one) for one in (*header_names.STANDARD, *header_names.DEFAULT_ALLOWED))


@given(_LETTERS)
@example("fr-CA")
@example("en\n")
def test_language_tags(tag: str) -> None:
    """BCP 47, as far as it is looked at."""
    assert _says(value.LOCALE, tag) == (check.faults_in_locale(tag) == [])


@given(_LETTERS)
@example("logo@shop.example")
def test_content_ids(text: str) -> None:
    """Of inline images."""
    assert _says(value.CONTENT_ID, text) == (attachment._CONTENT_ID.fullmatch(text) is not None)


@given(st.text(alphabet="aZ9+/=\n-", max_size=9))
@example("SGVsbG8sIEFkYSE==")
def test_base64(text: str) -> None:
    """Padded, with nothing between, before or behind."""
    assert _says(value.BASE64, text) == (attachment.octets_of(text)[0] is not None)


@given(_LETTERS)
def test_lines(text: str) -> None:
    """A subject, which stands in a header field."""
    assert _says(value._LINE, text) == (check.faults_in_content({"subject": text, "html": None, "text": "x"}) == [])


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
    assert _says(KEY_PATTERN, key) == (read_key(key)[1] is None)


def test_how_many() -> None:
    """The limits that the domain has stand in the document."""
    properties = NotificationIn.model_json_schema()["properties"]
    shown = {name: schema.get("anyOf", [schema])[0] for name, schema in properties.items()}
    assert (shown["cc"]["maxItems"], shown["bcc"]["maxItems"]) == (check.MOST_COPIES, check.MOST_COPIES)
    assert shown["headers"]["maxProperties"] == check.MOST_HEADERS
    assert shown["attachments"]["maxItems"] == attachment.MOST_ATTACHMENTS
    assert "required" not in BatchItemIn.model_json_schema()
