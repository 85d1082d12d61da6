"""The header writer, with the standard library's parser as the oracle."""

import re
from datetime import UTC, datetime, timedelta, timezone
from email import message_from_bytes
from email.header import decode_header, make_header
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import default
from email.utils import format_datetime, parseaddr

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notifier.mail import header_fields
from notifier.mail.mail_parts import Mailbox

SEARCH = settings(max_examples=100, deadline=None, derandomize=True, database=None)
PRINTABLE = st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp"))
ASCII = st.text(' :"\\<>,=?abc', max_size=120)
TEXT = ASCII | st.text(PRINTABLE | st.just("\t"), max_size=120)
TOKENS = st.lists(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=90), min_size=1)
LONG_NAME = "X-Notifier-A-Rather-Long-Name-Of-A-Field"
NAMES = st.sampled_from(["Subject", "X-A"])

_BREAKABLE = re.compile(rb"(?<=[^ ]) (?=[^ ])")


def parsed(raw: bytes) -> EmailMessage:
    """The field as the standard library reads it."""
    return message_from_bytes(raw + b"\r\n", policy=default)


def minutes_east(minutes: int) -> timezone:
    """Build a time zone with a fixed offset."""
    return timezone(timedelta(minutes=minutes))


def older_parse(raw: bytes) -> tuple[str, str]:
    """Parse a mailbox with the older parser; the one of Python 3.11 puts a space between encoded words."""
    value = raw.partition(b":")[2].decode().replace("\r\n", "")
    name, address = parseaddr(value)
    return str(make_header(decode_header(name))), address


def assert_well_formed(raw: bytes) -> None:
    """Assert that this is one ASCII field with lines of at most 78 characters where it can be folded."""
    assert raw.isascii()
    assert raw.endswith(b"\r\n")
    first, *rest = raw.removesuffix(b"\r\n").split(b"\r\n")
    assert re.match(rb"[!-9;-~]+: ?", first)
    assert all(line.startswith(b" ") and line.strip() for line in rest)
    for line in (first.partition(b":")[2].lstrip(), *rest):
        assert b"\r" not in line
        assert b"\n" not in line
        assert not any(c < 32 and c != 9 for c in line)
    for line in (first, *rest):
        assert len(line) <= header_fields.MAX_HEADER_LINE
        value = line.removeprefix(first.partition(b":")[0] + b": ")
        assert len(line) <= 78 or not (_BREAKABLE.search(value.strip()) or b"=?utf-8?" in value)


@SEARCH
@given(NAMES, TEXT)
def test_free_text_arrives_identical(name: str, value: str) -> None:
    """A second parser reads back the same subject or custom header."""
    assert str(parsed(header_fields.write_unstructured_header(name, value))[name]) == value


@SEARCH
@given(NAMES, TEXT)
def test_free_text_is_well_formed_on_the_wire(name: str, value: str) -> None:
    """Free text becomes one field of short ASCII lines."""
    assert_well_formed(header_fields.write_unstructured_header(name, value))


@SEARCH
@given(st.lists(TEXT, min_size=1, max_size=30).map(" ".join))
def test_long_free_text_arrives_identical(value: str) -> None:
    """A value on several lines is read back without a space more or less."""
    assert str(parsed(header_fields.write_unstructured_header("Subject", value))["Subject"]) == value


@SEARCH
@given(st.lists(st.text("abz", min_size=1, max_size=12), min_size=1, max_size=60).map(" ".join))
def test_plain_words_are_folded_and_not_encoded(value: str) -> None:
    """An ASCII subject stays readable on the wire, in lines of at most 78 characters."""
    raw = header_fields.write_unstructured_header("Subject", value)
    assert raw.replace(b"\r\n", b"").decode() == f"Subject: {value}"
    assert max(map(len, raw.split(b"\r\n"))) <= 78


@SEARCH
@given(st.text(PRINTABLE, min_size=1, max_size=12).filter(str.strip))
def test_a_display_name_arrives_identical(name: str) -> None:
    """A display name in any script and punctuation is read back unchanged."""
    name = name.strip()
    raw = header_fields.write_mailbox_header("From", Mailbox("ada@example.com", name))
    box = parsed(raw)["From"].addresses[0]
    assert (box.display_name, box.addr_spec) == (name, "ada@example.com")


@SEARCH
@given((ASCII | st.text(PRINTABLE, max_size=150)).filter(str.strip))
def test_a_long_display_name_arrives_identical_in_the_older_parser(name: str) -> None:
    """Several encoded words of a name are joined without a gap."""
    display_name, address = older_parse(header_fields.write_mailbox_header("From", Mailbox("ada@example.com", name)))
    assert (" ".join(display_name.split()), address) == (" ".join(name.split()), "ada@example.com")


@SEARCH
@given(ASCII | st.text(PRINTABLE, max_size=150))
def test_a_display_name_is_well_formed_on_the_wire(name: str) -> None:
    """A name of any length becomes short ASCII lines."""
    assert_well_formed(header_fields.write_mailbox_header("Reply-To", Mailbox("ada@example.com", name)))


@pytest.mark.parametrize(
    ("name", "value"), [(LONG_NAME, "é" * 100), (LONG_NAME, "a: " * 60 + "b"), ("Subject", "a: " * 60 + "b")]
)
def test_a_field_with_a_long_name_or_colons_is_well_formed(name: str, value: str) -> None:
    """The field's name counts for the line length, and only its own colon is not a place to fold."""
    assert_well_formed(header_fields.write_unstructured_header(name, value))
    assert str(parsed(header_fields.write_unstructured_header(name, value))[name]) == value


@pytest.mark.parametrize("name", ["Ada  Lovelace", "Ada, " * 14 + "x", '"Ada" ' * 12 + "x"])
def test_a_long_or_spaced_display_name_arrives_identical(name: str) -> None:
    """A name of quotes and commas is folded or encoded in time, and no space is lost."""
    raw = header_fields.write_mailbox_header("Reply-To", Mailbox("ada@example.com", name))
    assert_well_formed(raw)
    assert older_parse(raw) == (name, "ada@example.com")


@pytest.mark.parametrize("name", ['Ada "The" L.', "Lovelace, Ada", "a\\b", "Ada (she)", "=?utf-8?q?x?="])
def test_an_awkward_display_name_arrives_identical(name: str) -> None:
    """Names with quotes, specials or text that looks encoded are read back unchanged."""
    raw = header_fields.write_mailbox_header("From", Mailbox("ada@example.com", name))
    assert parsed(raw)["From"].addresses == (Address(name, addr_spec="ada@example.com"),)


def test_a_mailbox_without_a_name_is_the_bare_address() -> None:
    """No name means no brackets."""
    assert header_fields.write_mailbox_header("To", Mailbox("ada@example.com")) == b"To: ada@example.com\r\n"


@SEARCH
@given(st.datetimes(timezones=st.just(UTC) | st.timezones() | st.integers(-1439, 1439).map(minutes_east)))
def test_a_date_is_written_as_the_standard_library_writes_it(moment: datetime) -> None:
    """For any year, month and time zone the bytes equal the library's."""
    assert header_fields.write_date_header(moment) == f"Date: {format_datetime(moment)}\r\n".encode()


@pytest.mark.parametrize("month", range(1, 13))
def test_each_month_and_each_day_of_the_week_has_its_name(month: int) -> None:
    """Names are English in any locale, for all months and days of a week."""
    for day in range(1, 8):
        moment = datetime(2026, month, day, 3, 4, 5, tzinfo=UTC)
        assert header_fields.write_date_header(moment) == f"Date: {format_datetime(moment)}\r\n".encode()


@pytest.mark.parametrize("length", range(70, 84))
def test_a_line_is_folded_from_77_characters_on(length: int) -> None:
    """The longest line that still fits is not folded."""
    value = "a " * 30 + "b" * (length - len("Subject: ") - 60)
    raw = header_fields.write_unstructured_header("Subject", value)
    assert raw.count(b"\r\n") == (1 if length <= header_fields.MAX_FOLDED_LINE else 2)
    assert raw.replace(b"\r\n", b"").decode() == f"Subject: {value}"


@SEARCH
@given(TOKENS)
def test_a_structured_field_keeps_its_tokens(tokens: list[str]) -> None:
    """A structured field is folded only at spaces, and its tokens are unchanged."""
    raw = header_fields.write_structured_header("List-Unsubscribe", " ".join(tokens))
    assert_well_formed(raw)
    assert raw.replace(b"\r\n", b"").decode() == "List-Unsubscribe: " + " ".join(tokens)


def test_a_long_link_is_not_broken_or_encoded() -> None:
    """A List-Unsubscribe link over 78 characters stays in one piece, where email.policy would encode it."""
    link = f"<https://example.com/unsubscribe?token={'x' * 120}>"
    raw = header_fields.write_structured_header("List-Unsubscribe", f"<mailto:leave@example.com>, {link}")
    assert raw == b"List-Unsubscribe: <mailto:leave@example.com>,\r\n " + link.encode() + b"\r\n"


def test_a_token_over_the_longest_line_becomes_words_in_free_text() -> None:
    """A subject without spaces is split into encoded words if it is too long for a line."""
    value = "x" * 2000
    raw = header_fields.write_unstructured_header("Subject", value)
    assert max(map(len, raw.split(b"\r\n"))) <= 78
    assert str(parsed(raw)["Subject"]) == value


def test_a_token_over_the_longest_line_is_refused_in_a_structured_field() -> None:
    """A token that can be neither folded nor encoded is an error."""
    with pytest.raises(header_fields.HeaderValueError, match="References has a token over 998"):
        header_fields.write_structured_header("References", "x" * 999)


def test_a_structured_field_takes_ascii_only() -> None:
    """A structured field refuses non-ASCII text, because it has no encoded words."""
    with pytest.raises(header_fields.HeaderValueError, match="takes ASCII only"):
        header_fields.write_structured_header("References", "<é@example.com>")


@pytest.mark.parametrize(
    "value",
    ["=?utf-8?q?=0A?=", "x =?utf-8?b?Cg==?= y", "=?utf-8?q?=0D=0ABcc:_e@x.org?=", "\U0001f600" * 200, "a\u202eb"],
)
def test_a_value_that_looks_encoded_is_taken_literally(value: str) -> None:
    """Text like an encoded word, many emoji and a right-to-left override are read back unchanged."""
    message = parsed(header_fields.write_unstructured_header("Subject", value))
    assert str(message["Subject"]) == value
    assert message.keys() == ["Subject"]


SMUGGLED = [
    "\r",
    "\n",
    "\r\n",
    "\x00",
    "\x0b",
    "\x0c",
    "\x1c",
    "\x1d",
    "\x1e",
    "\x7f",
    "\x85",
    "\u2028",
    "\u2029",
    "\ud800",
]


@pytest.mark.parametrize("character", SMUGGLED, ids=[ascii(c) for c in SMUGGLED])
@pytest.mark.parametrize("place", ["{}Bcc: e@x.org", "a{}Bcc: e@x.org", "a{} Bcc: e@x.org", "a{}"])
def test_what_could_end_a_field_is_refused(character: str, place: str) -> None:
    """Line ends, NUL and lone surrogates are refused in every field at every position."""
    value = place.format(character)
    for write in (
        lambda: header_fields.write_unstructured_header("Subject", value),
        lambda: header_fields.write_structured_header("References", value),
        lambda: header_fields.write_mailbox_header("From", Mailbox("ada@example.com", value)),
        lambda: header_fields.write_mailbox_header("From", Mailbox(value)),
        lambda: header_fields.write_mailbox_header("From", Mailbox(value, "Ada")),
        lambda: header_fields.check_header_value(value),
    ):
        with pytest.raises(header_fields.HeaderValueError, match=f"U\\+{ord(character[0]):04X} at position"):
            write()
