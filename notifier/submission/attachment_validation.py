"""Decode and check attachments before anything is written; nothing is repaired silently.

The extension must fit the content type, because a desktop opens a file by its name. Ten MiB take about 40 ms, which a
caller in an event loop spends in a thread.
"""

import hashlib
import re
from binascii import a2b_base64
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from notifier.errors import Fault
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


def check_attachments(
    files: Sequence[Mapping[str, Any]], pointer: str = "/attachments"
) -> tuple[list[CheckedAttachment], list[Fault]]:
    """Check the attachments: return the valid ones, and the faults of the others with pointers below `pointer`.

    Each has text for `filename`, `content` (base64) and `content_type`, and perhaps for `content_id`.
    """
    if len(files) > MAX_ATTACHMENTS:
        return [], [Fault(pointer, ATTACHMENT_REJECTED, f"at most {MAX_ATTACHMENTS} attachments")]
    if sum(_compute_decoded_size(file["content"]) for file in files) > MAX_TOTAL_BYTES:
        return [], [
            Fault(
                pointer, ATTACHMENT_REJECTED, f"at most {MAX_TOTAL_BYTES // 1024**2} MiB together, as they are decoded"
            )
        ]
    content_id_counts = Counter(file.get("content_id") for file in files)
    attachments: list[CheckedAttachment] = []
    faults: list[Fault] = []
    for number, file in enumerate(files):
        attachment, problems = _check_attachment(file, shared=content_id_counts[file.get("content_id")] > 1)
        faults += [
            Fault(f"{pointer}/{number}/{name}", ATTACHMENT_REJECTED, detail) for name, detail in problems.items()
        ]
        if attachment is not None:
            attachments.append(attachment)
    return attachments, faults


def _check_attachment(file: Mapping[str, Any], *, shared: bool) -> tuple[CheckedAttachment | None, dict[str, str]]:
    """The attachment, or its problems by field."""
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
    """How many bytes the base64 text has, if it is valid."""
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
        return f"U+{ord(forbidden[0]):04X} cannot stand in a name"
    if forbidden := _NOT_IN_NAMES.search(name):
        return f"a name without a path, hence without {forbidden[0]}"
    if name != name.strip() or name.endswith("."):
        return "a name neither begins nor ends with a space, nor ends with a dot"
    stem, *extensions = [piece.rstrip() for piece in name.lower().split(".")]
    if _DEVICES.fullmatch(stem):
        return f"{stem} is the name of a device"
    return _check_extensions(extensions, kind)


def _check_extensions(extensions: Sequence[str], kind: FileType | None) -> str | None:
    last = extensions[-1] if extensions else ""
    for extension in extensions:
        if extension in EXECUTABLE_EXTENSIONS and (extension == last or extension not in _DOMAIN):
            return f".{extension} names a program, or what a browser would run"
    if kind is None or last in kind.extensions:
        return None
    expected = ", ".join(f".{extension}" for extension in sorted(kind.extensions))
    return f"the extension must be one of its content type: {expected}"


def _check_content_id(content_id: str, kind: FileType | None, *, shared: bool) -> str | None:
    if not _CONTENT_ID.fullmatch(content_id):
        return "1 to 64 letters, digits, dots, hyphens and underscores, perhaps with @ and a domain (RFC 2392)"
    if kind is not None and not kind.declared.startswith("image/"):
        return "only images are shown in the HTML"
    return "another attachment has the same content_id" if shared else None
