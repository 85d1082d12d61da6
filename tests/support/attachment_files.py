"""Small files of each allowed type, and attachments as a caller sends them."""

import io
import zipfile
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

OOXML = "application/vnd.openxmlformats-officedocument"
ODF = "application/vnd.oasis.opendocument"
PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\nendobj\n%%EOF\n"
PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489") + b"IEND\xaeB`\x82"
JPEG = bytes.fromhex("ffd8ffe000104a46494600010101004800480000") + b"\x00" * 30 + b"\xff\xd9"
EXE = b"MZ\x90\x00\x03\x00\x00\x00\x04\x00\x00\x00\xff\xff" + b"\x00" * 100


def build_zip(files: Mapping[str, str]) -> bytes:
    """Build a ZIP archive."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as written:
        for name, text in files.items():
            written.writestr(name, text)
    return target.getvalue()


def build_office_document(folder: str, **others: str) -> bytes:
    """Build the minimum of an Office document."""
    return build_zip({"[Content_Types].xml": "<Types/>", f"{folder}/document.xml": "<x/>", **others})


def build_open_document(kind: str, *others: str) -> bytes:
    """Build the minimum of an OpenDocument file."""
    return build_zip({"mimetype": f"{ODF}.{kind}", "content.xml": "<x/>", **dict.fromkeys(others, "x")})


FILES: dict[str, tuple[str, bytes]] = {
    "application/json": ("a.json", b' {"a": 1}'),
    "application/pdf": ("a.pdf", PDF),
    "application/xml": ("a.xml", b"<?xml version='1.0'?>\n<a/>"),
    "application/zip": ("a.zip", build_zip({"a.txt": "a", "folder/b.pdf": "b", "com": "c"})),
    "image/gif": ("a.gif", b"GIF89a\x01\x00\x01\x00\x80\x00\x00;"),
    "image/jpeg": ("a.jpg", JPEG),
    "image/png": ("a.png", PNG),
    "image/webp": ("a.webp", b"RIFF\x24\x00\x00\x00WEBPVP8 " + b"\x00" * 20),
    "text/calendar": ("a.ics", b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n"),
    "text/csv": ("a.csv", "\ufeffa;ü\n1;2\n".encode()),
    "text/plain": ("a.txt", b"BMW and MZ are names, and From is a word\n"),
    "text/vcard": ("a.vcf", b"BEGIN:VCARD\r\nEND:VCARD\r\n"),
    "text/xml": ("a.xml", b"<a/>"),
    f"{OOXML}.wordprocessingml.document": ("a.docx", build_office_document("word")),
    f"{OOXML}.spreadsheetml.sheet": ("a.xlsx", build_office_document("xl")),
    f"{OOXML}.presentationml.presentation": ("a.pptx", build_office_document("ppt")),
    f"{ODF}.text": ("a.odt", build_open_document("text")),
    f"{ODF}.spreadsheet": ("a.ods", build_open_document("spreadsheet")),
    f"{ODF}.presentation": ("a.odp", build_open_document("presentation")),
}
"""Type → the name and the content of such a file."""


def build_attachment(
    filename: str = "a.pdf", content_type: str = "application/pdf", data: bytes | None = None, **others: Any
) -> dict[str, Any]:
    """Build an attachment of a request, by default with a small file of the type."""
    content = FILES[content_type][1] if data is None else data
    return {
        "filename": filename,
        "content_type": content_type,
        "content": b64encode(content).decode(),
        "content_id": None,
        **others,
    }
