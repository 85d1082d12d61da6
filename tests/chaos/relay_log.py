"""The fault relay's log: one line per event, written at once and read by the tests."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Name(StrEnum):
    """The events of a body."""

    BEGIN = "begin"  # its first byte arrived
    TAKEN = "taken"  # the whole dot arrived, so that it could be delivered; logged before any reply
    TOLD = "told"  # a delayed reply was written
    REFUSED = "refused"  # the whole dot arrived, and the relay refuses the mail


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One event of the log."""

    name: Name
    wall: float  # seconds since 1970
    monotonic: float  # seconds, for differences
    helo: str  # the client's name
    connection: int  # a number of its own for each
    recipient: str
    message_id: str = "-"  # known once the body is whole
    reply: str = "-"  # the code written in the same moment; `none`: later, or never
    sha256: str = "-"  # of the whole body, dots unstuffed

    def line(self) -> bytes:
        """The event as a line of the log."""
        fields = (self.helo, self.connection, self.recipient, self.message_id, self.reply, self.sha256)
        return "\t".join((self.name, f"{self.wall:.6f}", f"{self.monotonic:.6f}", *map(str, fields))).encode() + b"\n"

    @property
    def pair(self) -> tuple[str, str]:
        """The Message-ID and recipient, which identify a mail."""
        return self.message_id, self.recipient


def parsed(line: str) -> Event:
    """Parse one line into an event."""
    name, wall, monotonic, helo, connection, recipient, message_id, reply, sha256 = line.split("\t")
    return Event(
        name=Name(name),
        wall=float(wall),
        monotonic=float(monotonic),
        helo=helo,
        connection=int(connection),
        recipient=recipient,
        message_id=message_id,
        reply=reply,
        sha256=sha256,
    )


class Follower:
    """A reader of a growing log that reads each line once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0
        self.seen: list[Event] = []

    def news(self) -> Iterator[Event]:
        """Return the events since the last call, without an incomplete last line."""
        with self._path.open("rb") as file:
            file.seek(self._at)
            whole, end, _ = file.read().rpartition(b"\n")
        self._at += len(whole) + len(end)
        for line in whole.decode().splitlines():
            event = parsed(line)
            self.seen.append(event)
            yield event

    def all(self) -> list[Event]:
        """Return every event so far."""
        for _ in self.news():
            pass
        return self.seen
