"""The journal: a file of this process to which each definite reply is written as soon as it is read.

It survives kill -9, but not a power loss: there is no fsync. A living process holds the lock on its file. A process
that gets the lock of another one's file knows that the other is dead. It replays the lines and deletes the file.
"""

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import msgspec

from notifier.db.data_directory import create_private_directory
from notifier.outbox.entry_handler import ClaimedEntry, Fence, JournalNote
from notifier.telemetry.logging import get_logger

MAX_FILE_BYTES = 4 * 1024 * 1024
"""A file of this size is rewritten with the lines that are still needed."""


class JournalLine(msgspec.Struct, frozen=True):
    """One reply: the claim, and the handler's note about it."""

    entry: ClaimedEntry
    note: dict[str, object]


_BOOT_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_encode_line = msgspec.json.Encoder().encode
_decode_line = msgspec.json.Decoder(JournalLine).decode


class Journal:
    """This process's own file, locked as long as the process lives."""

    def __init__(self, folder: Path, boot_id: UUID) -> None:
        self.folder = folder
        self._path = folder / f"{boot_id}.journal"
        self._pending: dict[Fence, bytes] = {}  # not settled yet
        self._size = 0
        self.is_writable = True  # False: no new bodies until lines can be written again
        create_private_directory(folder)
        self._file = self._new_file()

    def append(self, entry: ClaimedEntry, note: JournalNote | msgspec.Struct) -> None:
        """Write a reply in one system call; if that fails, no error is raised, but `is_writable` becomes False."""
        line = self._pending[entry.fence] = _encode_line({"entry": entry, "note": note}) + b"\n"
        if self.is_writable:
            try:
                _write_whole(self._file, line)
                self._size += len(line)
            except OSError as error:
                self._failed(error)

    def drop_settled(self, entry: ClaimedEntry) -> None:
        """Drop the line of an entry that the database has settled."""
        if self._pending.pop(entry.fence, None) and self._size > MAX_FILE_BYTES:
            self.rewrite()

    def rewrite(self) -> None:
        """Replace the file by one with the pending lines only; if that succeeds, the journal is writable again."""
        try:
            old, self._file = self._file, self._new_file()
        except OSError as error:
            self._failed(error)
        else:
            os.close(old)  # only now its lock is released, and no process finds it by name any more
            self._size, self.is_writable = 0, True

    def close(self) -> None:
        """Delete the file if no line is pending; else the next process in this directory replays it."""
        if not self._pending:
            self._path.unlink(missing_ok=True)
        os.close(self._file)

    def _new_file(self) -> int:
        """Create a file that is locked and complete before it gets its name."""
        temporary = self._path.with_suffix(".new")
        file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _write_whole(file, b"".join(self._pending.values()) or b"\n")
            temporary.rename(self._path)
        except BaseException:
            os.close(file)
            raise
        return file

    def _failed(self, error: OSError) -> None:
        if self.is_writable:
            get_logger().error("journal_not_writable", error=str(error))
        self.is_writable = False


@contextlib.contextmanager
def read_dead_journal(path: Path) -> Iterator[list[JournalLine] | None]:
    """Give the lines of a dead process, or None while it lives; its file is locked in the block, and not deleted."""
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(path.open("rb"))
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # A file that was replaced since it was opened has lost its lock, and its owner may be alive.
            dead = os.fstat(file.fileno()).st_ino == path.stat().st_ino
        except (FileNotFoundError, BlockingIOError):
            dead = False
        yield [line for text in file.read().split(b"\n") if (line := _parse_line(text, path))] if dead else None


def list_other_journals(folder: Path, own: UUID) -> list[tuple[UUID, Path]]:
    """List the journals of other processes with their boot ids."""
    names = [(path.stem, path) for path in sorted(folder.glob("*.journal"))]
    return [(UUID(name), path) for name, path in names if _BOOT_ID.fullmatch(name) and name != str(own)]


def _parse_line(text: bytes, path: Path) -> JournalLine | None:
    try:
        return _decode_line(text) if text else None
    except msgspec.DecodeError:  # the process died in the middle of a line
        get_logger().warning("journal_line_broken", boot_id=path.stem)
        return None


def _write_whole(file: int, data: bytes) -> None:
    if os.write(file, data) != len(data):
        raise OSError("only a part was written")
