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

from notifier.db.directory import make_private
from notifier.outbox.handler import Claimed, Fence, Note
from notifier.telemetry.logging import get_logger

LARGEST = 4 * 1024 * 1024
"""A file that has grown to this size is written anew, with the lines that are still needed."""


class Line(msgspec.Struct, frozen=True):
    """One reply: about which claim, and what the handler makes of it."""

    entry: Claimed
    note: dict[str, object]


_NAME = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Line).decode


class Journal:
    """This process's own file, locked from the first moment to the last."""

    def __init__(self, folder: Path, boot_id: UUID) -> None:
        self.folder = folder
        self._path = folder / f"{boot_id}.journal"
        self._pending: dict[Fence, bytes] = {}  # not settled yet
        self._size = 0
        self.writable = True  # False: no new bodies until lines can be written again
        make_private(folder)
        self._file = self._new_file()

    def append(self, entry: Claimed, note: Note | msgspec.Struct) -> None:
        """Keep a reply, in one write; if that fails, no error, but the journal is not `writable` any more."""
        line = self._pending[entry.fence] = _encode({"entry": entry, "note": note}) + b"\n"
        if self.writable:
            try:
                _write(self._file, line)
                self._size += len(line)
            except OSError as error:
                self._failed(error)

    def settled(self, entry: Claimed) -> None:
        """The database knows; the line is not needed any more."""
        if self._pending.pop(entry.fence, None) and self._size > LARGEST:
            self.rewrite()

    def rewrite(self) -> None:
        """Replace the file by one with what is pending; also the way back to `writable`."""
        try:
            old, self._file = self._file, self._new_file()
        except OSError as error:
            self._failed(error)
        else:
            os.close(old)  # only now does its lock go, and by its name nobody finds it any more
            self._size, self.writable = 0, True

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
            _write(file, b"".join(self._pending.values()) or b"\n")
            unseen.rename(self._path)
        except BaseException:
            os.close(file)
            raise
        return file

    def _failed(self, error: OSError) -> None:
        if self.writable:
            get_logger().error("journal_not_writable", error=str(error))
        self.writable = False


@contextlib.contextmanager
def left_by_the_dead(path: Path) -> Iterator[list[Line] | None]:
    """What a dead process left, its file locked in the block; None while it lives. The caller deletes the file."""
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(path.open("rb"))
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # A file that was replaced since it was opened has lost its lock, and its owner may be well.
            dead = os.fstat(file.fileno()).st_ino == path.stat().st_ino
        except (FileNotFoundError, BlockingIOError):
            dead = False
        yield [line for text in file.read().split(b"\n") if (line := _line(text, path))] if dead else None


def others(folder: Path, own: UUID) -> list[tuple[UUID, Path]]:
    """The journals of other processes, by the boot id of each."""
    found = [(path.stem, path) for path in sorted(folder.glob("*.journal"))]
    return [(UUID(name), path) for name, path in found if _NAME.fullmatch(name) and name != str(own)]


def _line(text: bytes, path: Path) -> Line | None:
    try:
        return _decode(text) if text else None
    except msgspec.DecodeError:  # the process died in the middle of a line
        get_logger().warning("journal_line_broken", boot_id=path.stem)
        return None


def _write(file: int, data: bytes) -> None:
    if os.write(file, data) != len(data):
        raise OSError("only a part was written")
