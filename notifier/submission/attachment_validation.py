"""Decode and check attachments before anything is written, and load those of a stored mail. Nothing is repaired.

The extension must fit the content type, because a desktop opens a file by its name. Ten MiB take about 40 ms, so a
caller in an event loop uses a thread.
"""

import hashlib
import re
from binascii import a2b_base64
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import select

from notifier.db import tables
from notifier.db.engine import OpenReader
from notifier.db.tables import get_columns
from notifier.errors import Fault
from notifier.mail.mail_parts import MailAttachment
from notifier.submission.file_type import EXECUTABLE_EXTENSIONS, INVISIBLE_CHARACTERS, FileType, parse_file_type

ATTACHMENT_REJECTED: Final = "attachment_rejected"
MAX_TOTAL_BYTES = 10 * 1024 * 1024  # bytes of all attachments of a mail together
MAX_ATTACHMENTS = 20
MAX_FILENAME_LENGTH = 200
_CHUNK_CHARACTERS = 1024 * 1024
"""Characters decoded in one call, which takes 2 ms and holds the GIL. A multiple of four."""
_DOMAIN = frozenset({"com"})
"""Executable extensions that are allowed inside a name as the end of a domain: shop.example.com.pdf."""
_NOT_IN_NAMES = re.compile(r'[/\\:*?"<>|]')
"""Characters that separate folders, streams or arguments on some system."""
_DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])", re.IGNORECASE)
_CONTENT_ID = re.compile(r"(?=.{1,64}\Z)[A-Za-z0-9._-]+(@[A-Za-z0-9.-]+)?")


@dataclass(frozen=True, kw_only=True)
class CheckedAttachment:
    """A valid attachment."""

    filename: str
    content_type: str  # in lower case, with the charset of text
    content_id: str | None
    data: bytes
    sha256: bytes

    def describe(self) -> dict[str, Any]:
        """Its names and its hash, for the content row."""
        names = {"filename": self.filename, "content_type": self.content_type, "content_id": self.content_id}
        return names | {"size": len(self.data), "sha256": self.sha256.hex()}


def check_attachments(
    files: Sequence[Mapping[str, Any]], pointer: str = "/attachments"
) -> tuple[list[CheckedAttachment], list[Fault]]:
    """Check the attachments: return the valid ones, and the faults of the others with pointers below `pointer`.

    Each has text for `filename`, `content` (base64) and `content_type`, and perhaps for `content_id`.
    """
    if len(files) > MAX_ATTACHMENTS:
        return [], [Fault(pointer, ATTACHMENT_REJECTED, f"at most {MAX_ATTACHMENTS} attachments")]
    if sum(_compute_decoded_size(file["content"]) for file in files) > MAX_TOTAL_BYTES:
        detail = f"at most {MAX_TOTAL_BYTES // 1024**2} MiB together, without base64"
        return [], [Fault(pointer, ATTACHMENT_REJECTED, detail)]
    content_id_counts = Counter(file.get("content_id") for file in files)
    attachments: list[CheckedAttachment] = []
    faults: list[Fault] = []
    for number, file in enumerate(files):
        attachment, problems = _check_attachment(file, shared=content_id_counts[file.get("content_id")] > 1)
        place = f"{pointer}/{number}"
        faults += [Fault(f"{place}/{name}", ATTACHMENT_REJECTED, detail) for name, detail in problems.items()]
        if attachment is not None:
            attachments.append(attachment)
    return attachments, faults


def _check_attachment(file: Mapping[str, Any], *, shared: bool) -> tuple[CheckedAttachment | None, dict[str, str]]:
    """Return the attachment, or its problems by field."""
    name, content_id = file["filename"], file.get("content_id")
    kind, type_problem = parse_file_type(file["content_type"])
    data, content_problem = decode_base64(file["content"])
    if kind is not None and data is not None:
        type_problem = kind.find_problem(data)
    problems = {
        "filename": _check_filename(name, kind),
        "content": content_problem,
        "content_type": type_problem,
        "content_id": _check_content_id(content_id, kind, shared=shared) if content_id is not None else None,
    }
    found_problems = {field: problem for field, problem in problems.items() if problem is not None}
    if found_problems or kind is None or data is None:
        return None, found_problems
    digest = hashlib.sha256(data).digest()
    attachment = CheckedAttachment(
        filename=name, content_type=kind.declared, content_id=content_id, data=data, sha256=digest
    )
    return attachment, {}


def _compute_decoded_size(content: str) -> int:
    return len(content) // 4 * 3 - (len(content[-2:]) - len(content[-2:].rstrip("=")))


def decode_base64(content: str) -> tuple[bytes | None, str | None]:
    """Decode base64 (RFC 4648 §4): padded, and with no other character anywhere. Returns data or a problem."""
    if not content:
        return None, "the attachment is empty"
    pieces = range(0, len(content), _CHUNK_CHARACTERS)
    try:
        data = b"".join(a2b_base64(content[start : start + _CHUNK_CHARACTERS], strict_mode=True) for start in pieces)
    except ValueError:
        data = b""
    # The library allows a "=" too many at the end, and padding at the end of each chunk.
    if not data or len(content) % 4 or content.find("=", 0, -2) >= 0:
        return None, "not base64 (RFC 4648 §4): the standard alphabet, padded, without line breaks or a data: prefix"
    return data, None


def _check_filename(name: str, kind: FileType | None) -> str | None:
    if not 0 < len(name) <= MAX_FILENAME_LENGTH:
        return f"a name has 1 to {MAX_FILENAME_LENGTH} characters"
    if forbidden := INVISIBLE_CHARACTERS.search(name):
        return f"a name cannot contain U+{ord(forbidden[0]):04X}"
    if forbidden := _NOT_IN_NAMES.search(name):
        return f"a name cannot contain {forbidden[0]}, because it is not a path"
    if name != name.strip() or name.endswith("."):
        return "a name neither begins nor ends with a space, nor ends with a dot"
    stem, *extensions = [piece.rstrip() for piece in name.lower().split(".")]
    if _DEVICES.fullmatch(stem):
        return f"{stem} is the name of a device on Windows"
    return _check_extensions(extensions, kind)


def _check_extensions(extensions: Sequence[str], kind: FileType | None) -> str | None:
    last = extensions[-1] if extensions else ""
    for extension in extensions:
        if extension in EXECUTABLE_EXTENSIONS and (extension == last or extension not in _DOMAIN):
            return f".{extension} is the extension of a program, or of a file that a browser would run"
    if kind is None or last in kind.extensions:
        return None
    expected = ", ".join(f".{extension}" for extension in sorted(kind.extensions))
    return f"the extension must be one of its content type: {expected}"


def _check_content_id(content_id: str, kind: FileType | None, *, shared: bool) -> str | None:
    if not _CONTENT_ID.fullmatch(content_id):
        return "1 to 64 letters, digits, dots, hyphens and underscores, perhaps with @ and a domain (RFC 2392)"
    if kind is not None and not kind.declared.startswith("image/"):
        return "only an image can have a content_id, which shows it in the HTML"
    return "another attachment has the same content_id" if shared else None


_attachment = get_columns(tables.Attachment)


async def load_attachments(open_reader: OpenReader, names: Collection[dict[str, Any]]) -> list[MailAttachment] | None:
    """Load the attachments of a notification; None if some are gone."""
    if not names:
        return []
    hashes = {bytes.fromhex(name["sha256"]) for name in names}
    statement = select(_attachment.sha256, _attachment.octets).where(_attachment.sha256.in_(hashes))
    async with open_reader() as connection:
        bytes_by_hash = {bytes(row.sha256): bytes(row.octets) for row in await connection.execute(statement)}
    if bytes_by_hash.keys() != hashes:
        return None
    return [
        MailAttachment(
            filename=name["filename"],
            content_type=name["content_type"],
            content_id=name["content_id"],
            data=bytes_by_hash[bytes.fromhex(name["sha256"])],
        )
        for name in names
    ]
