"""The journal: its lines survive a kill -9, its lock shows who is alive, and a full disk prevents new bodies."""

import os
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from notifier.ids import generate_id
from notifier.outbox import journal
from notifier.outbox.entry_handler import ClaimedEntry
from notifier.outbox.journal import Journal, JournalLine
from notifier.states import Priority

_WRITER = """
import sys, time
from pathlib import Path
from notifier.ids import generate_id
from notifier.outbox.journal import Journal, _decode_line
line = _decode_line(sys.argv[2])
Journal(Path(sys.argv[1]), generate_id()).append(line.entry, line.note)
print("written", flush=True)
time.sleep(60)
"""


def entry(lease_no: int = 1) -> ClaimedEntry:
    """Build a claimed entry."""
    return ClaimedEntry(
        id=generate_id(),
        lease_no=lease_no,
        subject_id=generate_id(),
        service_id=generate_id(),
        priority=Priority.NORMAL,
        due_at=datetime(2026, 1, 1, tzinfo=UTC),
        attempts=2,
        lost=1,
        faults=0,
        fault=None,
    )


def left(folder: Path) -> list[JournalLine] | None:
    """Return the lines of the only journal in the folder, if its process is dead."""
    ((_, path),) = journal.list_other_journals(folder, generate_id())
    with journal.read_dead_journal(path) as lines:
        return lines


@contextmanager
def limited_file_size(size: int) -> Iterator[None]:
    """Limit the size of files of this process, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_the_journal_of_a_killed_process_is_read(tmp_path: Path) -> None:
    """A living process locks its journal; after kill -9 its line can be read and the lock is free."""
    line = JournalLine(entry(), {"word": "kept"})
    command = [sys.executable, "-c", _WRITER, str(tmp_path), msgspec.json.encode(line).decode()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        assert left(tmp_path) is None
        process.kill()
    assert left(tmp_path) == [line]


def test_a_line_is_read_as_written(tmp_path: Path) -> None:
    """Entry and note are read back unchanged, with times to the microsecond."""
    own = Journal(tmp_path, generate_id())
    claimed = entry()
    own.append(claimed, {"code": 250, "text": "2.0.0 Ünïcode\nqueued", "sha": None})
    os.close(own._file)  # as its death would
    assert left(tmp_path) == [JournalLine(claimed, {"code": 250, "text": "2.0.0 Ünïcode\nqueued", "sha": None})]


def test_an_unfinished_line_does_not_affect_the_others(tmp_path: Path) -> None:
    """An incomplete last line leaves the earlier lines readable."""
    own = Journal(tmp_path, generate_id())
    first = entry()
    own.append(first, {})
    os.write(own._file, b'{"entry": {"id": "01')
    os.close(own._file)
    assert [line.entry for line in left(tmp_path) or []] == [first]


def test_a_clean_end_leaves_no_file(tmp_path: Path) -> None:
    """A journal without unsettled lines is deleted at the end; one with such a line stays."""
    own = Journal(tmp_path, generate_id())
    claimed = entry()
    own.append(claimed, {})
    own.drop_settled(claimed)
    own.close()
    assert list(tmp_path.iterdir()) == []
    other = Journal(tmp_path, generate_id())
    other.append(claimed, {})
    other.close()
    assert len(left(tmp_path) or []) == 1


def test_a_large_file_is_rewritten(tmp_path: Path) -> None:
    """A large file is replaced by one with only the unsettled lines, and stays locked."""
    own = Journal(tmp_path, generate_id())
    waiting = entry()
    own.append(waiting, {"waits": True})
    for _ in range(60):
        claimed = entry()
        own.append(claimed, {"text": "x" * 100_000})
        own.drop_settled(claimed)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < journal.MAX_FILE_BYTES + 200_000
    assert left(tmp_path) is None
    os.close(own._file)
    assert waiting in [line.entry for line in left(tmp_path) or []]


def test_the_lock_of_a_replaced_file_proves_nothing(tmp_path: Path) -> None:
    """A process whose journal is replaced again and again is never considered dead."""
    own = Journal(tmp_path, generate_id())
    stop = threading.Event()

    def replace_for_ever() -> None:
        while not stop.is_set():
            own.rewrite()

    replacing = threading.Thread(target=replace_for_ever)
    replacing.start()
    try:
        assert {left(tmp_path) is None for _ in range(3000)} == {True}
    finally:
        stop.set()
        replacing.join()
        own.close()


def test_a_full_disk_makes_it_unwritable_for_a_while(tmp_path: Path) -> None:
    """A line that cannot be written stays in memory and is written when there is space."""
    own = Journal(tmp_path, generate_id())
    first, second = entry(), entry()
    own.append(first, {})
    with limited_file_size(600):
        own.append(second, {"text": "x" * 1000})
        assert not own.is_writable
        own.rewrite()
        assert not own.is_writable
    own.rewrite()
    assert own.is_writable
    os.close(own._file)
    assert [line.entry for line in left(tmp_path) or []] == [first, second]
