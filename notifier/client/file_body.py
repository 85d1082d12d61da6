"""A file as the body of a request: sent a part at a time, and again from its beginning at each attempt."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from notifier.client.errors import UnsendableError

PART_BYTES = 256 * 1024
FileSource = bytes | str | Path | BinaryIO
"""The bytes of a file, its path, or a file that is open for reading in binary mode."""
_CONTENT_TYPES = {
    ".csv": "text/csv",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".ods": "application/vnd.oasis.opendocument.spreadsheet",
}


@dataclass(frozen=True, kw_only=True)
class FileBody:
    """A file that is sent as it is."""

    file: Path | BinaryIO = field(repr=False)
    start: int  # where it begins in an open file
    size: int  # bytes
    content_type: str

    @classmethod
    def from_source(cls, source: FileSource, content_type: str | None) -> "FileBody":
        """Measure a file. Raises `OSError` if it cannot be read, and `UnsendableError` for one that cannot be repeated.

        An open file is sent from its present position, and stays open.
        """
        name = source if isinstance(source, str | Path) else getattr(source, "name", "")
        suffix = Path(name).suffix.lower() if isinstance(name, str | Path) else ""
        kind = content_type or _CONTENT_TYPES.get(suffix, "application/octet-stream")
        if isinstance(source, str | Path):
            return cls(file=Path(source), start=0, size=Path(source).stat().st_size, content_type=kind)
        file = io.BytesIO(source) if isinstance(source, bytes) else source
        if not file.seekable() or file.read(0) != b"":
            raise UnsendableError("open the file in binary mode; read a pipe first, and pass its bytes")
        start = file.tell()
        size = file.seek(0, io.SEEK_END) - start
        file.seek(start)
        return cls(file=file, start=start, size=size, content_type=kind)

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the request. The length is announced, so that a file that is too large is refused early."""
        return {"Content-Type": self.content_type, "Content-Length": str(self.size)}

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Open the file at its beginning."""
        if isinstance(self.file, Path):
            with self.file.open("rb") as file:
                yield file
        else:
            self.file.seek(self.start)
            yield self.file
