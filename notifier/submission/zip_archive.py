"""List the files of a ZIP archive, if every program reads the same list (APPNOTE 6.3.10). Nothing is unpacked.

Some programs read the directory at the end, others the headers before the files, and some a second name in an extra
field. An archive in which these differ is refused.
"""

import struct
from dataclasses import dataclass

MAX_ZIP_ENTRIES = 4096
_END = struct.Struct("<4s4H2LH")  # end of central directory record (§4.3.16)
_ENTRY = struct.Struct("<4s6H3L5H2L")  # central directory file header (§4.3.12)
_LOCAL = struct.Struct("<4s5H3L2H")  # the header before a file (§4.3.7)
_FIELD = struct.Struct("<2H")  # of the extra fields: its id and its length (§4.5.1)
_ZIP64_LOCATOR = 20  # bytes, right before the end record (§4.3.15)
_UNICODE_PATH = 0x7075  # an extra field with another name (§4.6.9)
_UNICODE_PATH_NAME = 5  # bytes before that name: a version and a checksum
_MAX_COMMENT_BYTES = 65535
_ENCRYPTED, _STREAMED, _UTF8, _NAMES_HIDDEN = 0x1, 0x8, 0x800, 0x2040  # flags (§4.4.4)
_SIZE_IN_EXTRA_FIELD = 0xFFFFFFFF  # the size is in an extra field
_DESCRIPTORS = frozenset({12, 16, 20, 24})  # bytes behind the data of a streamed file (§4.3.9)


@dataclass(frozen=True, kw_only=True)
class ZipEntry:
    """A file in a ZIP archive."""

    name: str  # with slashes
    method: int  # 0: not compressed
    flags: int
    size: int  # bytes that it takes in the archive
    start: int  # of its own header
    raw_name: bytes

    def read_stored(self, data: bytes) -> bytes | None:
        """Its content, if it is not compressed."""
        content = _find_content_start(data, self)
        return data[content : content + self.size] if self.method == 0 else None


def list_zip_names(data: bytes) -> list[str] | None:
    """The names in the archive, or None if programs would read different ones."""
    entries = list_zip_entries(data)
    return None if entries is None else [entry.name for entry in entries]


def list_zip_entries(data: bytes) -> list[ZipEntry] | None:
    """The files in the archive, or None if programs would read different ones."""
    end = data.rfind(b"PK\x05\x06", -(_END.size + _MAX_COMMENT_BYTES))
    if not data.startswith(b"PK\x03\x04") or end < 0 or end + _END.size > len(data):
        return None
    _, disk, first_disk, here, count, size, start, comment = _END.unpack_from(data, end)
    is_whole = start + size == end and end + _END.size + comment == len(data)
    if not is_whole or disk or first_disk or here != count or count > MAX_ZIP_ENTRIES:
        return None
    # A second end record in a comment or a name, or the locator of another directory.
    if data.find(b"PK\x05\x06", start) != end or data.startswith(b"PK\x06\x07", end - _ZIP64_LOCATOR):
        return None
    entries = _read_directory(data, start, end, count)
    if entries is None or not _files_are_contiguous(data, entries, start):
        return None
    names = {entry.name.rstrip("/. ").casefold() for entry in entries}
    return entries if len(names) == len(entries) else None


def _read_directory(data: bytes, start: int, end: int, count: int) -> list[ZipEntry] | None:
    """The entries of the directory, if it has one name for each file and ends where it should."""
    entries = []
    for _ in range(count):
        if start + _ENTRY.size > end:
            return None
        mark, *numbers = _ENTRY.unpack_from(data, start)
        flags, method, (size, full_size), (name, extra, remark, disk) = (
            numbers[2],
            numbers[3],
            numbers[7:9],
            numbers[9:13],
        )
        start += _ENTRY.size
        raw_name = data[start : start + name]
        text = _decode_name(raw_name, flags)
        if (
            mark != b"PK\x01\x02"
            or disk
            or flags & _NAMES_HIDDEN
            or _SIZE_IN_EXTRA_FIELD in {size, full_size}
            or text is None
        ):
            return None
        if not _names_agree(raw_name, data[start + name : start + name + extra]) or (text.endswith("/") and full_size):
            return None
        entries.append(ZipEntry(name=text, method=method, flags=flags, size=size, start=numbers[15], raw_name=raw_name))
        start += name + extra + remark
    return entries if start == end else None


def _files_are_contiguous(data: bytes, entries: list[ZipEntry], end: int) -> bool:
    """True if the files fill the archive without gaps, each after a local header that agrees with the directory."""
    position, rest = 0, frozenset({0})
    for entry in sorted(entries, key=lambda entry: entry.start):
        if entry.start - position not in rest or entry.start + _LOCAL.size > end:
            return False
        mark, _, flags, method, _, _, _, size, _, name, extra = _LOCAL.unpack_from(data, entry.start)
        names = entry.start + _LOCAL.size
        if mark != b"PK\x03\x04" or data[names : names + name] != entry.raw_name or method != entry.method:
            return False
        if (flags ^ entry.flags) & (_ENCRYPTED | _UTF8):
            return False
        if size not in (
            {0, entry.size, _SIZE_IN_EXTRA_FIELD} if flags & _STREAMED else {entry.size, _SIZE_IN_EXTRA_FIELD}
        ):
            return False
        if not _names_agree(entry.raw_name, data[names + name : names + name + extra]):
            return False
        position, rest = names + name + extra + entry.size, _DESCRIPTORS if flags & _STREAMED else frozenset({0})
    return end - position in rest


def _find_content_start(data: bytes, entry: ZipEntry) -> int:
    *_, name, extra = _LOCAL.unpack_from(data, entry.start)
    return int(entry.start + _LOCAL.size + name + extra)


def _decode_name(raw: bytes, flags: int) -> str | None:
    """The name as most programs show it; all agree about its ASCII characters."""
    try:
        return raw.decode().replace("\\", "/")
    except UnicodeDecodeError:
        return None if flags & _UTF8 else raw.decode("cp437").replace("\\", "/")


def _names_agree(raw_name: bytes, extra: bytes) -> bool:
    """True if the extra fields are complete and have no other name than this one."""
    position = 0
    while position + _FIELD.size <= len(extra):
        id_, length = _FIELD.unpack_from(extra, position)
        position += _FIELD.size
        if position + length > len(extra):
            return False
        if id_ == _UNICODE_PATH:
            other = extra[position + _UNICODE_PATH_NAME : position + length]
            if other not in {raw_name, raw_name.decode("cp437").encode()}:
                return False
        position += length
    return not extra[position:].strip(b"\x00")  # some programs pad it with NUL
