"""A clock that stands still until a test advances it, and that several processes read from a memory-mapped file."""

import mmap
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path

from support.manual_clock import ManualClock

_SECONDS = struct.Struct("d")


class SharedClock:
    """Wall and monotonic time, which are the same seconds since 1970. The first process creates the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            path.write_bytes(_SECONDS.pack(ManualClock().now().timestamp()))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), _SECONDS.size)

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.monotonic(), UTC)

    def monotonic(self) -> float:
        (seconds,) = _SECONDS.unpack_from(self._memory)
        return float(seconds)

    def advance(self, seconds: float) -> None:
        """Advance the time for all processes."""
        self._memory[:] = _SECONDS.pack((self.now() + timedelta(seconds=seconds)).timestamp())
