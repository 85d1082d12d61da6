"""Reads a feed's document: its form, its schema, and how it differs from the revision before.

Documents and schemas are somebody else's, so this runs in a child process (`reading_process`), never in the API or the
sender. The messages quote no values, because they are logged.
"""

import codecs
import csv
import hashlib
import io
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import jsonschema_rs
import msgspec

from notifier import strict_json
from notifier.errors import NotifierError
from notifier.states import FeedFormat

MAX_ROWS: Final = 50_000
MAX_COLUMNS: Final = 100
MAX_CELL_LENGTH: Final = 32_768
MAX_VALUES: Final = 1_000_000
"""Values and names in a JSON document."""
MAX_HEADING_LENGTH: Final = 128
_MAX_REASON_LENGTH = 500
_REGEX_BYTES = 1024 * 1024
_CHARSETS = frozenset({"utf-8", "utf8", "us-ascii", "iso-8859-1", "latin1", "iso-8859-15", "windows-1252", "cp1252"})
_DELIMITERS = ",;\t|"
_HTML = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE)
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_ -]{0,39}")
_QUOTING_RULES = frozenset(
    {"additionalProperties", "unevaluatedProperties", "propertyNames", "dependentRequired", "falseSchema"}
)
"""Rules whose message quotes names of the document."""
_OTHER_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
Document = dict[str, Any] | list[dict[str, Any]]


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


class _InvalidDocumentError(NotifierError):
    """The document cannot be used; the message says why."""


def read_document(task: ReadingTask) -> ReadDocument | RejectedDocument:
    """Read a document; faults are returned, never raised."""
    try:
        return _read(task)
    except (_InvalidDocumentError, strict_json.MalformedJsonError) as error:
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
        for example in ({}, [], [{}]):
            validator.is_valid(example)
    except _InvalidDocumentError as error:
        return RejectedDocument(reason=_shorten(str(error)))
    return None


def _read(task: ReadingTask) -> ReadDocument:
    if _HTML.match(task.body):
        raise _InvalidDocumentError(
            f"the document is HTML instead of {task.format.upper()}: it may be a page to sign in, or of an error"
        )
    document = _read_json(task.body) if task.format is FeedFormat.JSON else _read_csv(task.body, task.charset)
    if task.json_schema is not None:
        _require_valid(_compile_schema(task.json_schema), document)
    if task.row_key is not None:
        _require_unique_key(document, task.row_key)
    before: Document | None = None
    if task.previous is not None:
        before = msgspec.json.decode(zlib.decompress(task.previous))
    added, removed, changed = _count_differences(before, document, task.row_key)
    encoded = msgspec.json.encode(document)
    return ReadDocument(
        document=zlib.compress(encoded),
        size=len(encoded),
        sha256=strict_json.hash_canonical(document),
        entries=len(document),
        added=added,
        removed=removed,
        changed=changed,
        emptied=_find_emptied(before, document) if before is not None else None,
    )


def _read_json(body: bytes) -> Document:
    if not body.strip():
        raise _InvalidDocumentError("the document is empty: not even {} or []")
    try:
        document = strict_json.parse_json(body, max_values=MAX_VALUES)
    except strict_json.MalformedJsonError as error:
        raise _InvalidDocumentError(f"the document is not valid JSON: {error}") from error
    if isinstance(document, dict):
        return document
    if not isinstance(document, list) or not all(isinstance(row, dict) for row in document):
        raise _InvalidDocumentError("the document is neither a JSON object nor an array of objects")
    if len(document) > MAX_ROWS:
        raise _InvalidDocumentError(f"the document has {len(document):,} rows; at most {MAX_ROWS:,} are allowed")
    return document


# -- CSV ------------------------------------------------------------------------------------------


def _read_csv(body: bytes, charset: str | None) -> list[dict[str, Any]]:
    text = _decode_text(body, charset)
    if not text.strip():
        raise _InvalidDocumentError("the document is empty: it has no line of headings")
    csv.field_size_limit(MAX_CELL_LENGTH)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_find_delimiter(text), strict=True)
    rows: list[dict[str, Any]] = []
    headings: list[str] | None = None
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if headings is None:
                headings = _read_headings(cells)
                continue
            if len(cells) != len(headings):
                raise _InvalidDocumentError(
                    f"line {reader.line_num} has {len(cells)} cells, and there are {len(headings)} headings"
                )
            if len(rows) == MAX_ROWS:
                raise _InvalidDocumentError(f"the document has more than {MAX_ROWS:,} rows")
            rows.append(dict(zip(headings, cells, strict=True)))
    except csv.Error as error:
        raise _InvalidDocumentError(_describe_csv_error(error, reader.line_num)) from error
    return rows


def _decode_text(body: bytes, charset: str | None) -> str:
    name = (charset or "utf-8").lower()
    if body.startswith(_OTHER_MARKS):
        raise _InvalidDocumentError("the document is UTF-16: a feed must be UTF-8, or name its charset")
    if name not in _CHARSETS:
        raise _InvalidDocumentError(f"the charset {name[:40]!r} is not supported: a feed must be UTF-8")
    try:
        text = body.removeprefix(codecs.BOM_UTF8).decode(name)
    except UnicodeDecodeError as error:
        place = f"byte 0x{error.object[error.start]:02X} at position {error.start}"
        raise _InvalidDocumentError(f"the document is not {name.upper()}: {place}") from error
    if "\x00" in text:
        raise _InvalidDocumentError("the document contains NUL: it is binary, or UTF-16")
    return text


def _find_delimiter(text: str) -> str:
    first = next(line for line in io.StringIO(text) if line.strip())
    return max(_DELIMITERS, key=first.count)


def _read_headings(cells: Sequence[str]) -> list[str]:
    headings = [cell.strip() for cell in cells]
    if len(headings) > MAX_COLUMNS:
        raise _InvalidDocumentError(f"the document has {len(headings):,} columns; at most {MAX_COLUMNS} are allowed")
    for number, heading in enumerate(headings, 1):
        if not 1 <= len(heading) <= MAX_HEADING_LENGTH:
            form = f"a heading has 1 to {MAX_HEADING_LENGTH} characters"
            raise _InvalidDocumentError(f"the heading of column {number} has {len(heading)}: {form}")
        if heading in headings[: number - 1]:
            raise _InvalidDocumentError(f"the headings of columns {headings.index(heading) + 1} and {number} are equal")
    return headings


def _describe_csv_error(error: csv.Error, line: int) -> str:
    if "field larger" in str(error):
        return f"line {line}: a cell has more than {MAX_CELL_LENGTH:,} characters, or its quotation mark is missing"
    if "unexpected end of data" in str(error):
        return f"line {line}: the document ends within quotation marks: only a part of it was sent"
    return f"line {line} is not valid CSV: its quotation marks do not match"


# -- schema and key -------------------------------------------------------------------------------


def _compile_schema(schema: dict[str, Any]) -> Any:
    """Compile a schema. It loads no other document, and its patterns take linear time."""
    try:
        jsonschema_rs.meta.validate(schema)
        return jsonschema_rs.validator_for(
            schema,
            offline=True,
            mask="this value",
            pattern_options=jsonschema_rs.RegexOptions(size_limit=_REGEX_BYTES, dfa_size_limit=_REGEX_BYTES),
        )
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        message = getattr(error, "message", None) or str(error)
        raise _InvalidDocumentError(f"not a JSON Schema that can be used: {_first_line(message)}") from error


def _require_valid(validator: Any, document: Document) -> None:
    try:
        validator.validate(document)
    except jsonschema_rs.ValidationError as error:
        place = "".join(f"/{_show_name(part)}" for part in error.instance_path)
        rule = _first_line(error.message)
        if error.kind.name in _QUOTING_RULES:
            rule = f"it breaks the rule {error.kind.name}"
        at = f" at {place}" if place else ""
        raise _InvalidDocumentError(f"the document does not match its schema{at}: {rule}") from error


def _show_name(name: str | int) -> str:
    """Show a name of the document, unless it may be data such as an address."""
    return str(name) if isinstance(name, int) or _PLAIN_NAME.fullmatch(name) else "…"


def _require_unique_key(document: Document, row_key: str) -> None:
    if isinstance(document, dict):
        raise _InvalidDocumentError("the document is one object, but its feed has a row_key, which is for rows")
    seen: dict[bytes, int] = {}
    for number, row in enumerate(document, 1):
        value = row.get(row_key)
        if value is None or value == "":
            raise _InvalidDocumentError(f"row {number} has no value in its row_key")
        first = seen.setdefault(strict_json.encode_canonical(value), number)
        if first != number:
            raise _InvalidDocumentError(f"rows {first} and {number} have the same value in their row_key")


# -- differences ----------------------------------------------------------------------------------


def _count_differences(before: Document | None, after: Document, row_key: str | None) -> tuple[int, int, int]:
    """Count added, removed and changed entries: keys of an object, or rows."""
    if before is None:
        return len(after), 0, 0
    if isinstance(before, dict) and isinstance(after, dict):
        return _compare_keys(before, after)
    if isinstance(before, dict) or isinstance(after, dict):
        return len(after), len(before), 0
    if row_key is not None and all(row_key in row for row in before):
        return _compare_keys(_index_rows(before, row_key), _index_rows(after, row_key))
    old, new = _count_rows(before), _count_rows(after)
    return (new - old).total(), (old - new).total(), 0


def _compare_keys(before: Mapping[Any, Any], after: Mapping[Any, Any]) -> tuple[int, int, int]:
    changed = sum(1 for key in before.keys() & after.keys() if before[key] != after[key])
    return len(after.keys() - before.keys()), len(before.keys() - after.keys()), changed


def _index_rows(rows: Iterable[dict[str, Any]], row_key: str) -> dict[bytes, dict[str, Any]]:
    return {strict_json.encode_canonical(row[row_key]): row for row in rows}


def _count_rows(rows: Iterable[dict[str, Any]]) -> Counter[bytes]:
    return Counter(hashlib.sha256(strict_json.encode_canonical(row)).digest() for row in rows)


def _find_emptied(before: Document, after: Document) -> str | None:
    """Find what had entries before and has none now."""
    if before and not after:
        return f"it had {_describe_size(before)}, and has none"
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in after.items():
            old = before.get(key)
            if value in ([], {}, None) and isinstance(old, list | dict) and old:
                return f"{_show_name(key)} had {_describe_size(old)}, and has none"
    return None


def _describe_size(value: Sequence[Any] | Mapping[str, Any]) -> str:
    noun = "key" if isinstance(value, Mapping) else "row"
    return f"{len(value):,} {noun}{'' if len(value) == 1 else 's'}"


def _first_line(text: str) -> str:
    return text.partition("\n")[0]


def _shorten(text: str) -> str:
    printable = "".join(character if character.isprintable() else " " for character in text)
    return printable if len(printable) <= _MAX_REASON_LENGTH else printable[: _MAX_REASON_LENGTH - 1] + "…"
