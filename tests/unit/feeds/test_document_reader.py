"""Documents of feeds: what they become, how they differ, and what is wrong with them in one sentence."""

import json
import zlib
from typing import Any

import pytest

from notifier.feeds.csv_rows import MAX_CELL_LENGTH, MAX_ROWS
from notifier.feeds.document_reader import (
    ReadDocument,
    ReadingTask,
    RejectedDocument,
    SchemaTask,
    check_schema,
    read_document,
)
from notifier.states import FeedFormat


def read(body: bytes | str, form: FeedFormat = FeedFormat.JSON, **fields: Any) -> ReadDocument:
    """Read a valid document."""
    encoded = body.encode() if isinstance(body, str) else body
    result = read_document(ReadingTask(format=form, body=encoded, **fields))
    assert isinstance(result, ReadDocument), result
    return result


def reject(body: bytes | str, form: FeedFormat = FeedFormat.JSON, **fields: Any) -> str:
    """The reason why a document is rejected."""
    encoded = body.encode() if isinstance(body, str) else body
    result = read_document(ReadingTask(format=form, body=encoded, **fields))
    assert isinstance(result, RejectedDocument), result
    return result.reason


def decode(result: ReadDocument) -> Any:
    """The document as it is stored."""
    return json.loads(zlib.decompress(result.document))


ROWS = '[{"id": 1, "price": 2}, {"id": 2, "price": 3}]'


@pytest.mark.parametrize(
    ("before", "after", "row_key", "counts"),
    [
        (None, ROWS, None, (2, 0, 0)),
        (None, '{"a": 1}', None, (1, 0, 0)),
        ('{"a": 1, "b": 2}', '{"b": 3, "c": 1}', None, (1, 1, 1)),
        (ROWS, '[{"id": 2, "price": 4}, {"id": 3, "price": 3}]', "id", (1, 1, 1)),
        (ROWS, '[{"id": 2, "price": 4}, {"id": 3, "price": 3}]', None, (2, 2, 0)),
        (ROWS, '[{"id": 2, "price": 3}, {"id": 1, "price": 2}]', None, (0, 0, 0)),
        ('[{"a": 1}, {"a": 1}]', '[{"a": 1}]', None, (0, 1, 0)),
        ('[{"x": 1}]', ROWS, "id", (2, 1, 0)),  # the rows before have no such key
        ('{"a": 1}', ROWS, None, (2, 1, 0)),
    ],
)
def test_differences_are_counted(
    before: str | None, after: str, row_key: str | None, counts: tuple[int, int, int]
) -> None:
    """Keys of objects, rows by their key, or whole rows are compared."""
    previous = read(before).document if before is not None else None
    result = read(after, row_key=row_key, previous=previous)
    assert (result.added, result.removed, result.changed) == counts


@pytest.mark.parametrize(
    ("before", "after", "emptied"),
    [
        (ROWS, "[]", "it had 2 rows, and has none"),
        ('{"a": 1}', "{}", "it had 1 key, and has none"),
        ('{"a": 1}', "[]", "it had 1 key, and has none"),
        ('{"items": [1, 2, 3]}', '{"items": []}', "items had 3 rows, and has none"),
        ('{"items": {"a": 1}}', '{"items": null}', "items had 1 key, and has none"),
        ('{"ada@example.org": [1]}', '{"ada@example.org": []}', "… had 1 row, and has none"),
        ('{"items": [1], "a": 1}', '{"a": 1}', None),  # a removed key is counted, and a schema can forbid it
        ('{"items": []}', '{"items": []}', None),
        ("[]", "[]", None),
        (ROWS, '[{"id": 1}]', None),
    ],
)
def test_what_is_suddenly_empty(before: str, after: str, emptied: str | None) -> None:
    """A document, or a part of an object, that had entries and has none any more."""
    assert read(after, previous=read(before).document).emptied == emptied


def test_equal_documents_have_the_same_hash() -> None:
    """The order of keys and the spelling of numbers do not matter; the order of rows does."""
    assert read('{"a": 1, "b": [2.0]}').sha256 == read('{"b": [2], "a": 1e0}').sha256
    assert read('[{"a": 1}, {"a": 2}]').sha256 != read('[{"a": 2}, {"a": 1}]').sha256


@pytest.mark.parametrize(
    ("body", "charset", "rows"),
    [
        ("a,b\n1,2\n", None, [{"a": "1", "b": "2"}]),
        ("\ufeffa;b\r\n1;2\r\n\r\n", None, [{"a": "1", "b": "2"}]),
        (" a \tb\n\n1\t\n", "utf-8", [{"a": "1", "b": ""}]),
        ('a|b\n"x\ny"|"say ""hi"""', None, [{"a": "x\ny", "b": 'say "hi"'}]),
        ("a\n=1+1\n", None, [{"a": "=1+1"}]),
        ("a,b\n", None, []),
    ],
)
def test_rows_of_csv(body: str, charset: str | None, rows: list[dict[str, str]]) -> None:
    """Delimiters are found, headings trimmed, blank lines skipped, and cells kept as they are."""
    assert decode(read(body, FeedFormat.CSV, charset=charset)) == rows


def test_charsets() -> None:
    """A charset that the server names is used, if it is one of the usual ones."""
    assert decode(read("a\nö".encode("cp1252"), FeedFormat.CSV, charset="windows-1252")) == [{"a": "ö"}]
    assert reject("a\nö".encode("cp1252"), FeedFormat.CSV).startswith("the document is not UTF-8: byte 0xF6")
    assert "'koi8-r' is not supported" in reject(b"a\n1", FeedFormat.CSV, charset="koi8-r")


WRONG_CSV = {
    "": "the document is empty: it has no line of headings",
    "a,a\n1,2": "the headings of columns 1 and 2 are equal",
    "a,\n1,2": "the heading of column 2 has 0: a heading has 1 to 128 characters",
    "a,b\n1": "line 2 has 1 cells, and there are 2 headings",
    "a,b\n1,2,3": "line 2 has 3 cells, and there are 2 headings",
    'a,b\n"1,2': "line 2: the document ends within quotation marks: only a part of it was sent",
    'a,b\n"x"y,2': "line 2 is not valid CSV: its quotation marks do not match",
    "a\n" + "x" * (MAX_CELL_LENGTH + 1): "line 2: a cell has more than 32,768 characters, or its quotation mark is",
    "a\n\x00": "the document contains NUL: it is binary, or UTF-16",
    ",".join(map(str, range(101))): "the document has 101 columns; at most 100 are allowed",
    "a\n" + "1\n" * (MAX_ROWS + 1): "the document has more than 50,000 rows",
    "\ufeff  <HTML><body>": "the document is HTML instead of CSV",
}


@pytest.mark.parametrize("body", WRONG_CSV, ids=range(len(WRONG_CSV)))
def test_csv_that_cannot_be_used(body: str) -> None:
    """Each mistake is one sentence with its line or column."""
    assert reject(body, FeedFormat.CSV).startswith(WRONG_CSV[body])


WRONG_JSON = {
    b"": "the document is empty: not even {} or []",
    b"3": "the document is neither a JSON object nor an array of objects",
    b'[{"a": 1}, 2]': "the document is neither a JSON object nor an array of objects",
    b'{"a": 1': "the document is not valid JSON: line 1, column 8: a comma, or the end",
    b'{"a": NaN}': "the document is not valid JSON: NaN is not JSON",
    b'{"a": 1, "a": 2}': "the document is not valid JSON: an object has the same key twice",
    b'{"a": "\xff"}': "the document is not valid JSON: the document is not UTF-8",
    b'{"a": "\\ud800"}': "the document is not valid JSON: a string contains a lone surrogate",
    b"[" + b"{}," * 60_000 + b"{}]": "the document has 60,001 rows; at most 50,000 are allowed",
    b"[" * 100_000: "the document is not valid JSON: the document is nested too deeply",
    b'{"a": [' + b"1," * 1_100_000 + b"1]}": "the document has more than 1,000,000 values and names",
}


@pytest.mark.parametrize("body", WRONG_JSON, ids=range(len(WRONG_JSON)))
def test_json_that_cannot_be_used(body: bytes) -> None:
    """Each mistake is one sentence."""
    assert reject(body).startswith(WRONG_JSON[body])


SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "integer", "maximum": 5}, "list": {"items": {"type": "string"}}},
    "additionalProperties": False,
    "required": ["a"],
}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ('{"a": 9}', "at /a: this value is greater than the maximum of 5"),
        ('{"a": "canary"}', 'at /a: this value is not of type "integer"'),
        ('{"a": 1, "canary@example.org": 1}', ": it breaks the rule additionalProperties"),
        ('{"a": 1, "list": ["x", 1]}', 'at /list/1: this value is not of type "string"'),
        ("{}", ': "a" is a required property'),
    ],
)
def test_a_document_against_its_schema(body: str, reason: str) -> None:
    """The place and the rule are named, and never a value of the document."""
    rejected = reject(body, json_schema=SCHEMA)
    assert rejected.startswith("the document does not match its schema")
    assert rejected.endswith(reason)
    assert "canary" not in rejected
    assert read('{"a": 1}', json_schema=SCHEMA).entries == 1


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"type": "nonsense"}, "at /type"),
        ({"pattern": "("}, "at /pattern"),
        ({"pattern": "(?=x)"}, "at /pattern"),  # patterns take linear time, so they cannot look ahead
        ({"$ref": "http://127.0.0.1:1/x"}, "other documents are not loaded"),
        ({"$ref": "file:///etc/passwd"}, "other documents are not loaded"),
        ({"$ref": "#/nowhere"}, "other documents are not loaded"),
        ({"$schema": "http://127.0.0.1:1/x"}, "other documents are not loaded"),
    ],
)
def test_schemas_that_cannot_be_used(schema: dict[str, Any], reason: str) -> None:
    """A schema is refused before it is saved; none makes us load another document."""
    rejected = check_schema(SchemaTask(json_schema=schema))
    assert rejected is not None
    assert reason in rejected.reason


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"$schema": "http://json-schema.org/draft-07/schema#", "type": "object"},
        {"$defs": {"row": {"properties": {"next": {"$ref": "#/$defs/row"}}}}, "items": {"$ref": "#/$defs/row"}},
        {"$ref": "#"},
        {"properties": {"a": {"pattern": "^(a+)+$"}}},
    ],
)
def test_schemas_that_can_be_used(schema: dict[str, Any]) -> None:
    """Older drafts, references within the schema, and patterns that are slow elsewhere."""
    assert check_schema(SchemaTask(json_schema=schema)) is None
    long = '{"a": "' + "a" * 50_000 + '"}'
    assert read('[{"next": {}}]' if "items" in schema else long, json_schema=schema).entries == 1


def test_a_row_key_must_be_unique() -> None:
    """Each row needs a different value in its row_key; an object has no rows."""
    assert reject('[{"id": 1}, {"id": 1.0}]', row_key="id") == "rows 1 and 2 have the same value in their row_key"
    assert reject('[{"id": 1}, {}]', row_key="id") == "row 2 has no value in its row_key"
    assert reject("a,b\n1,\n", FeedFormat.CSV, row_key="b") == "row 1 has no value in its row_key"
    assert "which is for rows" in reject("{}", row_key="id")
