"""The types of fields in requests: stricter than pydantic's, and documented with JSON Schema keywords.

The domain checks what the keywords only document, with fault codes of its own; a test compares the two.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, StringConstraints
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError

from notifier.errors import Fault, NotFoundError
from notifier.retention_settings import MAX_KEEP_DAYS
from notifier.submission.attachment_validation import MAX_TOTAL_BYTES

_RFC3339_START = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}.*", re.DOTALL)
"""Excludes numbers, which pydantic would take for seconds since 1970."""
TIME_FORM = "a time is a string, such as 2026-01-31T12:00:00Z (RFC 3339)"
MAX_LIFETIME = timedelta(days=36_500)  # of a key or suppression that has an end
MAX_TIME_LENGTH = 64  # characters of a time
MAX_LINE_LENGTH = 998  # characters of a line of a header (RFC 5322 §2.1.1)
MAX_BASE64_LENGTH = (MAX_TOTAL_BYTES + 2) // 3 * 4  # characters of a file in base64
_HEADER_CHARACTERS = r"[^\u0000-\u0008\u000a-\u001f\u007f-\u009f\u2028\u2029]"
_LINE_PATTERN = f"^{_HEADER_CHARACTERS}*$"
MAILBOX_PATTERN = f"^{_HEADER_CHARACTERS}+@{_HEADER_CHARACTERS}+$"
LOCALE_PATTERN = "^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$"
BASE64_PATTERN = "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)$"
CONTENT_ID_PATTERN = r"^[A-Za-z0-9._-]+(@[A-Za-z0-9.-]+)?$"
HEADER_NAME_PATTERN = (
    "^([Xx]-(?![Nn][Oo][Tt][Ii][Ff][Ii][Ee][Rr]-)[A-Za-z0-9-]*"
    "|[Ll]ist-[Uu]nsubscribe(-[Pp]ost)?|[Ll]ist-[Ii][Dd]|[Rr]eferences|[Ii]n-[Rr]eply-[Tt]o|[Ff]eedback-[Ii][Dd]"
    "|[Ii]mportance|[Pp]recedence)$"
)


def document_field(**words: Any) -> Any:
    """Add JSON Schema keywords that document a field and do not check it."""
    return Field(json_schema_extra=words)


def describe_optional(description: str, *, strict: bool | None = None) -> Any:
    """Describe a field that can be missing, but is never null."""
    return Field(default=None, strict=strict, description=description)


def describe_patch(schema: dict[str, Any]) -> None:
    """Describe the body of a `PATCH`: at least one field, and no defaults."""
    schema["minProperties"] = 1
    for field in schema["properties"].values():
        field.pop("default", None)


def _require_time_text(value: Any) -> Any:
    if value is not None and not (
        isinstance(value, str) and len(value) <= MAX_TIME_LENGTH and _RFC3339_START.fullmatch(value)
    ):
        raise ValueError(TIME_FORM)
    return value


def convert_whole_number(value: Any) -> Any:
    """Convert 3.0 to 3: in JSON they are the same number (JSON Schema, validation §6.1.1)."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _require_utc(time: datetime) -> datetime:
    """Refuse a time that is outside the calendar in UTC: neither databases nor datetime can handle it."""
    try:
        if time.tzinfo is not None:
            time.astimezone(UTC)
    except OverflowError as error:
        raise PydanticCustomError("time_out_of_range", "outside the calendar") from error
    return time


def _clamp_to_calendar(time: datetime) -> datetime:
    """Clamp a time that is outside the calendar in UTC to the first or last one."""
    try:
        time.astimezone(UTC)
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC) if time.year == 1 else datetime.max.replace(tzinfo=UTC)
    return time


def check_expiry(expires_at: datetime | None, now: datetime) -> list[Fault]:
    """Check the time at which something ends (None: never); returns its faults."""
    if expires_at is None or (expires_at.tzinfo is not None and now < expires_at <= now + MAX_LIFETIME):
        return []
    if expires_at.tzinfo is None:
        return [Fault("/expires_at", "naive_time", "a time needs an offset, such as Z or +01:00")]
    return [Fault("/expires_at", "time_out_of_range", "it must be after now, and within a hundred years")]


def parse_id(text: str, what: str = "notification") -> UUID:
    """Parse an id in a path. Raises `NotFoundError` for anything else."""
    try:
        return UUID(text)
    except ValueError as error:
        raise NotFoundError(f"there is no such {what}") from error


_TIME_LENGTH = document_field(maxLength=MAX_TIME_LENGTH)
Time = Annotated[
    datetime, BeforeValidator(_require_time_text), AfterValidator(_require_utc), Field(strict=False), _TIME_LENGTH
]
"""A time without an offset passes here and is refused later with a code of its own."""
AwareTime = Annotated[
    AwareDatetime,
    BeforeValidator(_require_time_text),
    AfterValidator(_clamp_to_calendar),
    Field(strict=False),
    _TIME_LENGTH,
]
"""A time in a search; one outside the calendar becomes the first or last possible time."""
WholeNumber = Annotated[int, BeforeValidator(convert_whole_number)]
PositiveWholeNumber = Annotated[int, Field(ge=1, le=2**31 - 1), BeforeValidator(convert_whole_number)]
"""The limits stand here because `WholeNumber | None` with `Field(ge=1)` would not document them."""
NotNegativeWholeNumber = Annotated[int, Field(ge=0, le=2**31 - 1), BeforeValidator(convert_whole_number)]
KeepDays = Annotated[int, Field(ge=0, le=MAX_KEEP_DAYS), BeforeValidator(convert_whole_number)]
Address = Annotated[str, StringConstraints(max_length=320), document_field(format="idn-email")]
Text = Annotated[str, StringConstraints(max_length=MAX_LINE_LENGTH)]
Line = Annotated[str, document_field(pattern=_LINE_PATTERN)]
HeaderValue: JsonDict = {"type": "string", "maxLength": 900, "pattern": _LINE_PATTERN}
