"""A file as the body of a request: its kinds, its length and type, and that it can be sent again."""

import io
import os
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from notifier.client import UnsendableError, merge_calls
from notifier.client.file_body import FileBody

CONTENT = b"E-Mail,Name\nada@example.com,Ada\n"


def _read(body: FileBody) -> bytes:
    with body.open() as file:
        return file.read()


def test_each_kind_of_file_is_read_from_its_beginning_each_time(tmp_path: Path) -> None:
    """Bytes, a path as text or `Path`, and an open file have the same content and length, also a second time."""
    path = tmp_path / "people.CSV"
    path.write_bytes(CONTENT)
    with path.open("rb") as file:
        for source in (CONTENT, path, str(path), file, io.BytesIO(CONTENT)):
            body = FileBody.from_source(source, None)
            assert [_read(body), _read(body), body.size] == [CONTENT, CONTENT, len(CONTENT)]
        assert not file.closed


def test_an_open_file_is_sent_from_its_position() -> None:
    """What was read before is not sent."""
    file = io.BytesIO(b"skipped" + CONTENT)
    file.seek(len(b"skipped"))
    body = FileBody.from_source(file, None)
    assert ([_read(body), _read(body)], body.size) == ([CONTENT, CONTENT], len(CONTENT))


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("a.csv", "text/csv"),
        ("a.XLSX", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        ("a.ods", "application/vnd.oasis.opendocument.spreadsheet"),
        ("a.data", "application/octet-stream"),
        ("a", "application/octet-stream"),
    ],
)
def test_the_type_is_that_of_the_name(tmp_path: Path, name: str, content_type: str) -> None:
    """The content type follows from the name of a path or an open file, unless it is given."""
    (tmp_path / name).write_bytes(CONTENT)
    with (tmp_path / name).open("rb") as file:
        for source in (tmp_path / name, file):
            call = merge_calls.create_merge(source, template="welcome")
            assert call.headers == {"Content-Type": content_type, "Content-Length": str(len(CONTENT))}
    given = merge_calls.create_merge(tmp_path / name, template="welcome", content_type="text/csv")
    assert given.headers["Content-Type"] == "text/csv"
    with os.fdopen(os.open(tmp_path / name, os.O_RDONLY), "rb") as unnamed:
        assert FileBody.from_source(unnamed, None).content_type == "application/octet-stream"


def test_what_cannot_be_sent_again_is_refused_at_once() -> None:
    """A pipe and a file in text mode raise our error, and a missing file that of Python."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as pipe, os.fdopen(writing, "wb"), pytest.raises(UnsendableError, match="pipe"):
        FileBody.from_source(pipe, None)
    with pytest.raises(UnsendableError, match="binary"):
        FileBody.from_source(cast("BinaryIO", io.StringIO("E-Mail\n")), None)
    with pytest.raises(FileNotFoundError):
        merge_calls.create_merge("no-such-file.csv", template="welcome")


def test_without_a_file_there_is_no_body() -> None:
    """A merge of a feed has no body, and its repr never has the rows of a file."""
    assert merge_calls.create_merge(template="welcome", feed="people").headers == {}
    assert "ada" not in repr(merge_calls.create_merge(CONTENT, template="welcome"))
