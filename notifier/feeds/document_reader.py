"""Reads a feed's document: its form, its schema, and how it differs from the revision before.

Documents and schemas are somebody else's, so this runs in a child process (`reading_program`), never in the API or the
sender. The messages quote no values, because they are logged.
"""

import re
import zlib
from typing import Any, Final

import jsonschema_rs
import msgspec

from notifier import strict_json
from notifier.feeds.csv_rows import MAX_ROWS, InvalidDocumentError, read_csv_rows
from notifier.feeds.document_comparison import Document, count_differences, find_emptied, show_name
from notifier.states import FeedFormat

MAX_VALUES: Final = 1_000_000
"""Values and names in a JSON document."""
_MAX_REASON_LENGTH = 500
_REGEX_BYTES = 1024 * 1024
_HTML = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE)
_QUOTING_RULES = frozenset(
    {"additionalProperties", "unevaluatedProperties", "propertyNames", "dependentRequired", "falseSchema"}
)
"""Rules whose message quotes names of the document."""


class ReadingTask(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A document to read, and what to compare it with."""

    format: FeedFormat
    body: bytes
    charset: str | None = None  # as the server named it
    json_schema: dict[str, Any] | None = None
    row_key: str | None = None
    previous: bytes | None = None  # the newest revision, as `ReadDocument` has it


class SchemaTask(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A schema to check before it is saved."""

    json_schema: dict[str, Any]


class ReadDocument(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A valid document."""

    document: bytes  # JSON in UTF-8, compressed by zlib
    size: int  # bytes of the JSON
    sha256: bytes  # with sorted keys
    entries: int  # rows, or keys of an object
    added: int = 0
    removed: int = 0
    changed: int = 0
    emptied: str | None = None  # what was there before, and is not any more


class RejectedDocument(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Why a document or a schema cannot be used."""

    reason: str


def read_document(task: ReadingTask) -> ReadDocument | RejectedDocument:
    """Read a document; faults are returned, never raised."""
    try:
        return _read(task)
    except (InvalidDocumentError, strict_json.MalformedJsonError) as error:
        reason = str(error).replace("the body", "the document")
        return RejectedDocument(reason=_shorten(reason))
    except strict_json.TooManyValuesError:
        return RejectedDocument(reason=f"the document has more than {MAX_VALUES:,} values and names")
    except MemoryError:
        return RejectedDocument(reason="the document needs too much memory")


def check_schema(task: SchemaTask) -> RejectedDocument | None:
    """Check a schema; None if it can be used."""
    try:
        validator = _compile_schema(task.json_schema)
        examples: tuple[Any, ...] = ({}, [], [{}])
        for example in examples:
            validator.is_valid(example)
    except InvalidDocumentError as error:
        return RejectedDocument(reason=_shorten(str(error)))
    return None


def _read(task: ReadingTask) -> ReadDocument:
    if _HTML.match(task.body):
        raise InvalidDocumentError(
            f"the document is HTML instead of {task.format.upper()}: it may be a page to sign in, or of an error"
        )
    document = _read_json(task.body) if task.format is FeedFormat.JSON else read_csv_rows(task.body, task.charset)
    if task.json_schema is not None:
        _require_valid(_compile_schema(task.json_schema), document)
    if task.row_key is not None:
        _require_unique_key(document, task.row_key)
    before: Document | None = None
    if task.previous is not None:
        before = msgspec.json.decode(zlib.decompress(task.previous))
    added, removed, changed = count_differences(before, document, task.row_key)
    encoded = msgspec.json.encode(document)
    return ReadDocument(
        document=zlib.compress(encoded),
        size=len(encoded),
        sha256=strict_json.hash_canonical(document),
        entries=len(document),
        added=added,
        removed=removed,
        changed=changed,
        emptied=find_emptied(before, document) if before is not None else None,
    )


def _read_json(body: bytes) -> Document:
    if not body.strip():
        raise InvalidDocumentError("the document is empty: not even {} or []")
    try:
        document = strict_json.parse_json(body, max_values=MAX_VALUES)
    except strict_json.MalformedJsonError as error:
        raise InvalidDocumentError(f"the document is not valid JSON: {error}") from error
    if isinstance(document, dict):
        return document
    if not isinstance(document, list) or not all(isinstance(row, dict) for row in document):
        raise InvalidDocumentError("the document is neither a JSON object nor an array of objects")
    if len(document) > MAX_ROWS:
        raise InvalidDocumentError(f"the document has {len(document):,} rows; at most {MAX_ROWS:,} are allowed")
    return document


def _compile_schema(schema: dict[str, Any]) -> Any:
    """Compile a schema. It loads no other document, and its patterns take linear time."""
    try:
        return jsonschema_rs.validator_for(
            schema,
            offline=True,
            mask="this value",
            pattern_options=jsonschema_rs.RegexOptions(size_limit=_REGEX_BYTES, dfa_size_limit=_REGEX_BYTES),
        )
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        if getattr(getattr(error, "kind", None), "name", "") == "$ref":
            reason = "it refers to a place that is not in it, and other documents are not loaded"
            raise InvalidDocumentError(f"not a JSON Schema that can be used: {reason}") from error
        place = "".join(f"/{part}" for part in getattr(error, "instance_path", ()))
        message = _first_line(getattr(error, "message", None) or str(error))
        at = f" at {place}" if place else ""
        raise InvalidDocumentError(f"not a JSON Schema that can be used{at}: {message}") from error


def _require_valid(validator: Any, document: Document) -> None:
    try:
        validator.validate(document)
    except jsonschema_rs.ValidationError as error:
        place = "".join(f"/{show_name(part)}" for part in error.instance_path)
        rule = _first_line(error.message)
        if error.kind.name in _QUOTING_RULES:
            rule = f"it breaks the rule {error.kind.name}"
        at = f" at {place}" if place else ""
        raise InvalidDocumentError(f"the document does not match its schema{at}: {rule}") from error


def _require_unique_key(document: Document, row_key: str) -> None:
    if isinstance(document, dict):
        raise InvalidDocumentError("the document is one object, but its feed has a row_key, which is for rows")
    seen: dict[bytes, int] = {}
    for number, row in enumerate(document, 1):
        value = row.get(row_key)
        if value is None or value == "":
            raise InvalidDocumentError(f"row {number} has no value in its row_key")
        first = seen.setdefault(strict_json.encode_canonical(value), number)
        if first != number:
            raise InvalidDocumentError(f"rows {first} and {number} have the same value in their row_key")


def _first_line(text: str) -> str:
    return text.partition("\n")[0]


def _shorten(text: str) -> str:
    printable = "".join(character if character.isprintable() else " " for character in text)
    return printable if len(printable) <= _MAX_REASON_LENGTH else printable[: _MAX_REASON_LENGTH - 1] + "…"
