"""Definite replies, written to a file of this process at the moment in which they are read.

It survives kill -9, not a power loss: there is no fsync. Holding the lock on the file is being alive; whoever gets the
lock of another's file has proof of that one's death, replays what it left, and deletes it.
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
from notifier.outbox.handler import ClaimedEntry, Fence, JournalNote
from notifier.telemetry.logging import get_logger

MAX_FILE_BYTES = 4 * 1024 * 1024
"""A file that has grown to this size is written anew, with the lines that are still needed."""


class JournalLine(msgspec.Struct, frozen=True):
    """One reply: about which claim, and what the handler makes of it."""

    entry: ClaimedEntry
    note: dict[str, object]


_BOOT_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_encode_line = msgspec.json.Encoder().encode
_decode_line = msgspec.json.Decoder(JournalLine).decode


class Journal:
    """This process's own file, locked from the first moment to the last."""

    def __init__(self, folder: Path, boot_id: UUID) -> None:
        self.folder = folder
        self._path = folder / f"{boot_id}.journal"
        self._pending: dict[Fence, bytes] = {}  # not settled yet
        self._size = 0
        self.is_writable = True  # False: no new bodies until lines can be written again
        create_private_directory(folder)
        self._file = self._new_file()

    def append(self, entry: ClaimedEntry, note: JournalNote | msgspec.Struct) -> None:
        """Keep a reply, in one write; if that fails, no error, but the journal is not `writable` any more."""
        line = self._pending[entry.fence] = _encode_line({"entry": entry, "note": note}) + b"\n"
        if self.is_writable:
            try:
                _write_whole(self._file, line)
                self._size += len(line)
            except OSError as error:
                self._failed(error)

    def drop_settled(self, entry: ClaimedEntry) -> None:
        """The database knows; the line is not needed any more."""
        if self._pending.pop(entry.fence, None) and self._size > MAX_FILE_BYTES:
            self.rewrite()

    def rewrite(self) -> None:
        """Replace the file by one with what is pending; also the way back to `writable`."""
        try:
            old, self._file = self._file, self._new_file()
        except OSError as error:
            self._failed(error)
        else:
            os.close(old)  # only now does its lock go, and by its name nobody finds it any more
            self._size, self.is_writable = 0, True

    def close(self) -> None:
        """Delete the file if nothing is left to say; else the next process in this directory finds it."""
        if not self._pending:
            self._path.unlink(missing_ok=True)
        os.close(self._file)

    def _new_file(self) -> int:
        """A file that is locked and complete before anybody can see it under its name."""
        unseen = self._path.with_suffix(".new")
        file = os.open(unseen, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _write_whole(file, b"".join(self._pending.values()) or b"\n")
            unseen.rename(self._path)
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
    """What a dead process left, its file locked in the block; None while it lives. The caller deletes the file."""
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(path.open("rb"))
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # A file that was replaced since it was opened has lost its lock, and its owner may be well.
            dead = os.fstat(file.fileno()).st_ino == path.stat().st_ino
        except (FileNotFoundError, BlockingIOError):
            dead = False
        yield [line for text in file.read().split(b"\n") if (line := _parse_line(text, path))] if dead else None


def list_other_journals(folder: Path, own: UUID) -> list[tuple[UUID, Path]]:
    """The journals of other processes, by the boot id of each."""
    found = [(path.stem, path) for path in sorted(folder.glob("*.journal"))]
    return [(UUID(name), path) for name, path in found if _BOOT_ID.fullmatch(name) and name != str(own)]


def _parse_line(text: bytes, path: Path) -> JournalLine | None:
    try:
        return _decode_line(text) if text else None
    except msgspec.DecodeError:  # the process died in the middle of a line
        get_logger().warning("journal_line_broken", boot_id=path.stem)
        return None


def _write_whole(file: int, data: bytes) -> None:
    if os.write(file, data) != len(data):
        raise OSError("only a part was written")
