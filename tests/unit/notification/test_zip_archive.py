"""Archives that two programs would read differently are refused; those that common programs write are accepted."""

import io
import struct
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from notifier.submission.file_type import parse_file_type
from notifier.submission.zip_archive import list_zip_names

PAYLOAD = b"MZ an evil program"


@dataclass(frozen=True, kw_only=True)
class File:
    """One file of an archive, as its header and the directory describe it."""

    name: bytes = b"a.txt"
    local_name: bytes | None = None  # None: the same
    data: bytes = b"hello"
    extra: bytes = b""
    local_extra: bytes = b""
    flags: int = 0
    local_flags: int | None = None
    method: int = 0
    local_method: int | None = None
    local_size: int | None = None
    remark: bytes = b""
    behind: bytes = b""  # between this file and what follows it
    disk: int = 0


def zipped(
    files: Sequence[File], comment: bytes = b"", *, before: bytes = b"", between: bytes = b"", before_end: bytes = b""
) -> bytes:
    """Build an archive, with `between` after the files and `before_end` after the directory."""
    body, directory = before, b""
    for file in files:
        start, checksum = len(body), zlib.crc32(file.data)
        size = len(file.data) if file.local_size is None else file.local_size
        name = file.name if file.local_name is None else file.local_name
        flags = file.flags if file.local_flags is None else file.local_flags
        method = file.method if file.local_method is None else file.local_method
        header = (b"PK\x03\x04", 20, flags, method, 0, 0, checksum, size, size, len(name), len(file.local_extra))
        body += struct.pack("<4s5H3L2H", *header) + name + file.local_extra + file.data + file.behind
        numbers = (20, 20, file.flags, file.method, 0, 0, checksum, len(file.data), len(file.data), len(file.name))
        rest = (len(file.extra), len(file.remark), file.disk, 0, 0, start)
        directory += struct.pack("<4s6H3L5H2L", b"PK\x01\x02", *numbers, *rest) + file.name + file.extra + file.remark
    directory += before_end
    body += between
    end = (b"PK\x05\x06", 0, 0, len(files), len(files), len(directory), len(body), len(comment))
    return body + directory + struct.pack("<4s4H2LH", *end) + comment


def unicode_path(name: bytes, header_name: bytes = b"a.txt") -> bytes:
    """Build Info-ZIP's extra field with another name."""
    content = b"\x01" + struct.pack("<L", zlib.crc32(header_name)) + name
    return struct.pack("<2H", 0x7075, len(content)) + content


EVIL = zipped([File(name=b"evil.exe", data=PAYLOAD)])
LOCATOR = b"PK\x06\x07" + bytes(16)
DESCRIPTOR = b"PK\x07\x08" + bytes(12)
OTHER_DIRECTORY = EVIL[EVIL.index(b"PK\x01\x02") :]
REFUSED: dict[str, bytes] = {
    "another name in an extra field": zipped([File(extra=unicode_path(b"evil.exe"))]),
    "another name in an extra field before the file": zipped([File(local_extra=unicode_path(b"evil.exe"))]),
    "another name behind other extra fields": zipped([File(extra=b"\x55\x54\x01\x00\x00" + unicode_path(b"b.txt"))]),
    "a second name of the same file": zipped([File(extra=unicode_path(b"a.txt") + unicode_path(b"evil.exe"))]),
    "an extra field that is longer than all of them": zipped([File(extra=b"\x75\x70\xff\x00evil.exe")]),
    "an extra field that is cut": zipped([File(extra=b"\x75\x70\x01")]),
    "another name before the file": zipped([File(local_name=b"evil.exe")]),
    "a name of another length before the file": zipped([File(local_name=b"a.txt.exe")]),
    "another method before the file": zipped([File(local_method=8)]),
    "another size before the file": zipped([File(local_size=1)]),
    "no size before the file": zipped([File(local_size=0)]),
    "encrypted for one reader only": zipped([File(local_flags=1)]),
    "another encoding of the name": zipped([File(flags=0x800, local_flags=0)]),
    "the same name twice": zipped([File(), File(data=PAYLOAD)]),
    "the same name in another case": zipped([File(), File(name=b"A.TXT")]),
    "the same name with a dot behind it": zipped([File(), File(name=b"a.txt.")]),
    "a file and a folder of one name": zipped([File(name=b"a", data=b""), File(name=b"a/", data=b"")]),
    "the same name with the other slash": zipped([File(name=b"b/a.txt"), File(name=b"b\\a.txt")]),
    "a folder with content": zipped([File(name=b"evil.exe/")]),
    "a file that the directory leaves out": zipped([File(behind=EVIL[: EVIL.index(b"PK\x01\x02")])]),
    "a hidden file before the first": zipped([File()], before=EVIL[: EVIL.index(b"PK\x01\x02")]),
    "something between files and directory": zipped([File()], between=b"x"),
    "a hidden file between files and directory": zipped([File()], between=EVIL[: EVIL.index(b"PK\x01\x02")]),
    "a descriptor that no file asks for": zipped([File(behind=DESCRIPTOR)]),
    "something instead of a descriptor": zipped([File(flags=8, behind=b"x" * 13)]),
    "something at the end of the directory": zipped([File()], before_end=b"x"),
    "another end in the comment": zipped([File()], comment=EVIL[-22:]),
    "another archive in the comment": zipped([File()], comment=OTHER_DIRECTORY),
    "another end in a remark": zipped([File(remark=EVIL[-22:])]),
    "the locator of another directory in a remark": zipped([File(remark=LOCATOR)]),
    "the locator of another directory": zipped([File()], before_end=LOCATOR),
    "names that are hidden": zipped([File(flags=0x2000)]),
    "names under strong encryption": zipped([File(flags=0x41)]),
    "a part on another disk": zipped([File(disk=1)]),
    "UTF-8 that is none": zipped([File(name=b"\xff.txt", flags=0x800)]),
    "no name": zipped([File(name=b"a.txt"), File(name=b"/")]),
}
NAMES = (
    *(b"evil.exe", b"evil.EXE ", b"..\\evil.txt", b"/etc/passwd", b"\\\\host\\share\\a.txt", b"C:\\a.txt", b"C:a.txt"),
    *(b"a.txt:evil.exe", b"evil.exe\x00.txt", b"evil\r.txt", b"../a.txt", b"a/../../b.txt", b"a/..", b"a.xhtml"),
    *("txt.\u202eexe".encode(), b"page.xht"),
)
TAKEN: dict[str, bytes] = {
    "plain": zipped([File(), File(name=b"b/c.pdf")]),
    "a comment": zipped([File()], comment=b"made today"),
    "a remark": zipped([File(remark=b"the first")]),
    "a time in an extra field": zipped(
        [File(extra=b"\x55\x54\x05\x00\x01\x00\x00\x00\x00", local_extra=b"\x55\x54\x00\x00")]
    ),
    "padding in an extra field": zipped([File(local_extra=bytes(3))]),
    "the same name in an extra field": zipped([File(extra=unicode_path(b"a.txt"))]),
    "an old name and the same in UTF-8": zipped([File(name=b"\x81.txt", extra=unicode_path("ü.txt".encode()))]),
    "streamed": zipped([File(flags=8, local_size=0, behind=DESCRIPTOR), File(name=b"b.txt")]),
    "streamed at the end": zipped([File(flags=8, local_size=0, behind=DESCRIPTOR[4:])]),
    "sizes in an extra field": zipped([File(local_size=0xFFFFFFFF, local_extra=b"\x01\x00\x10\x00" + bytes(16))]),
    "encrypted": zipped([File(flags=1)]),
    "a document within": zipped([File(name=b"a.docx", data=EVIL)]),
    "the directory in another order": b"",
}


def _reordered() -> bytes:
    """Build an archive of two files whose directory lists the second first."""
    plain = zipped([File(), File(name=b"b.txt")])
    first = plain.index(b"PK\x01\x02")
    second, end = plain.index(b"PK\x01\x02", first + 1), plain.index(b"PK\x05\x06")
    return plain[:first] + plain[second:end] + plain[first:second] + plain[end:]


TAKEN["the directory in another order"] = _reordered()


def problem_in(data: bytes) -> str | None:
    """Return the problem that is reported for the archive as an attachment."""
    kind, _ = parse_file_type("application/zip")
    assert kind is not None
    return kind.find_problem(data)


@pytest.mark.parametrize("case", REFUSED)
def test_what_two_programs_would_read_as_two_things(case: str) -> None:
    """An archive with two possible readings is refused."""
    assert problem_in(REFUSED[case]) is not None


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_leads_elsewhere(name: bytes) -> None:
    """A name that leads out of the folder, to another file or to a program is refused."""
    assert problem_in(zipped([File(), File(name=name)])) is not None


@pytest.mark.parametrize("case", TAKEN)
def test_what_programs_write(case: str) -> None:
    """Comments, times, streams and names of old systems are accepted, because all programs read them alike."""
    assert problem_in(TAKEN[case]) is None


@pytest.mark.parametrize("unseekable", [False, True])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_what_the_standard_library_writes(method: int, *, unseekable: bool) -> None:
    """Archives that the standard library writes to a file or a pipe are accepted."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return not unseekable

        def seek(self, offset: int, whence: int = 0) -> int:
            if unseekable:
                raise io.UnsupportedOperation
            return super().seek(offset, whence)

    target = Pipe()
    with zipfile.ZipFile(target, "w", method) as written:
        written.comment = b"of the library"
        for name in ("a.txt", "Grüße/ü.pdf", "folder/"):
            written.writestr(name, "" if name.endswith("/") else "x" * 5000)
    assert list_zip_names(target.getvalue()) == ["a.txt", "Grüße/ü.pdf", "folder/"]
