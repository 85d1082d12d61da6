"""The process that reads documents: whatever a schema or a document does to it, this process gets a reason."""

import multiprocessing

import pytest

from notifier.feeds import reading_process
from notifier.feeds.document_reader import ReadDocument, ReadingTask, RejectedDocument, SchemaTask
from notifier.states import FeedFormat


def test_it_reads_what_the_limits_allow() -> None:
    """The largest document is read, and the process is gone afterwards."""
    rows = b"id,name\n" + b"".join(b"%d,%s\n" % (number, b"x" * 150) for number in range(50_000))
    read = reading_process.read_in_child(ReadingTask(format=FeedFormat.CSV, body=rows, row_key="id"))
    assert isinstance(read, ReadDocument)
    assert (read.entries, read.added) == (50_000, 50_000)
    again = ReadingTask(format=FeedFormat.CSV, body=rows, row_key="id", previous=read.document)
    compared = reading_process.read_in_child(again)
    assert isinstance(compared, ReadDocument)
    assert (compared.added, compared.removed, compared.changed, compared.sha256) == (0, 0, 0, read.sha256)
    assert [child for child in multiprocessing.active_children() if child.name == "notifier-feed"] == []


def test_csv_that_grows_is_refused() -> None:
    """Headings that are repeated in each row may not make a document of hundreds of megabytes."""
    headings = ",".join(f"{number:03}{'h' * 120}" for number in range(100))
    body = (headings + "\n" + (",".join("1" * 100) + "\n") * 5_000).encode()
    task = ReadingTask(format=FeedFormat.CSV, body=body)
    assert reading_process.read_in_child(task) in {reading_process.TOO_LARGE, reading_process.CRASHED}


@pytest.mark.parametrize("depth", [200, 20_000])
def test_a_schema_that_goes_deep_is_refused_and_harms_nobody(depth: int) -> None:
    """A chain of references that is too long for the validator's stack ends its process, not ours."""
    definitions = {f"d{number}": {"properties": {"a": {"$ref": f"#/$defs/d{number + 1}"}}} for number in range(depth)}
    schema = {"$defs": definitions | {f"d{depth}": {"type": "string"}}, "$ref": "#/$defs/d0"}
    rejected = reading_process.check_schema_in_child(SchemaTask(json_schema=schema))
    assert rejected is None or isinstance(rejected, RejectedDocument)


def test_a_child_that_is_not_wanted_is_killed() -> None:
    """A process that stops does not wait for the document."""
    task = ReadingTask(format=FeedFormat.JSON, body=b"{}")
    assert reading_process.read_in_child(task, is_wanted=lambda: False) is None
    assert [child for child in multiprocessing.active_children() if child.name == "notifier-feed"] == []
