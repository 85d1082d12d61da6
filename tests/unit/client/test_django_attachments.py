"""What becomes of the attachments of a Django message: files, MIME parts and inline images."""

from email.message import MIMEPart
from email.mime.base import MIMEBase
from email.mime.image import MIMEImage
from email.mime.text import MIMEText
from pathlib import Path
from typing import Any

import pytest
from django.core.mail import EmailMessage
from support.django_settings import configure_django

from notifier.client import Attachment
from notifier.client.django import MailSendError
from notifier.client.django.message_fields import map_message

configure_django()


def _attached(*attachments: Any) -> list[Attachment]:
    message = EmailMessage("s", to=["ada@example.com"])
    message.attachments = [*attachments]
    return [*map_message(message)[0]["attachments"]]


def test_files_of_the_file_system(tmp_path: Path) -> None:
    """`attach_file` takes their names and types; what is not UTF-8 is no text for Django."""
    message = EmailMessage("s", to=["ada@example.com"])
    for name, content in {"pièce.txt": "ä\n".encode(), "a.png": b"\x89PNG", "b.txt": b"\xff"}.items():
        (tmp_path / name).write_bytes(content)
        message.attach_file(str(tmp_path / name))
    files = [(file.filename, file.content, file.content_type) for file in map_message(message)[0]["attachments"]]
    assert files == [
        ("pièce.txt", "ä\n".encode(), "text/plain"),
        ("a.png", b"\x89PNG", "image/png"),
        ("b.txt", b"\xff", "application/octet-stream"),
    ]


def test_attached_files() -> None:
    """Text and bytes, with their names and types; a missing name or type is completed."""
    message = EmailMessage("s", to=["ada@example.com"])
    message.attach("terms.txt", "Grüße")
    message.attach("a.pdf", b"%PDF-", "application/pdf")
    message.attach(None, b"GIF8", "image/gif")
    message.attachments.append(("b.csv", "x;y"))
    files = [(file.filename, file.content, file.content_type) for file in map_message(message)[0]["attachments"]]
    assert files == [
        ("terms.txt", "Grüße".encode(), "text/plain"),
        ("a.pdf", b"%PDF-", "application/pdf"),
        ("attachment-3.gif", b"GIF8", "image/gif"),
        ("b.csv", b"x;y", "text/csv"),
    ]


def test_attached_parts() -> None:
    """A MIME part is decoded; its Content-ID makes it an inline image, and its text becomes UTF-8."""
    image = MIMEImage(b"GIF89a", "gif")
    image.add_header("Content-ID", "<logo>")
    text = MIMEText("Grüße", "calendar", "iso-8859-1")
    text.set_param("method", "REQUEST")
    text.add_header("Content-Disposition", "attachment", filename="a.ics")
    first, second = _attached(image, text)
    assert (first.content, first.content_type, first.content_id) == (b"GIF89a", "image/gif", "logo")
    assert (second.filename, second.content) == ("a.ics", "Grüße".encode())
    assert second.content_type == "text/calendar; method=REQUEST"


def test_parts_of_pythons_newer_class() -> None:
    """An inline image, and a text whose part chooses its own transfer encoding."""
    image, text = MIMEPart(), MIMEPart()
    image.set_content(b"GIF89a", "image", "gif", disposition="inline", cid="<logo@shop.example>")
    text.set_content("Größe\n", filename="größe.txt")
    first, second = _attached(image, text)
    assert (first.content, first.content_type, first.content_id) == (b"GIF89a", "image/gif", "logo@shop.example")
    assert (second.filename, second.content, second.content_type) == ("größe.txt", "Größe\n".encode(), "text/plain")


@pytest.mark.parametrize("charset", ["utf-8", "klingon"])
def test_a_text_part_in_another_encoding_than_it_says(charset: str) -> None:
    """It is refused, because readers would see other characters."""
    part = MIMEBase("text", "plain", charset=charset)
    part.set_payload(b"\xff")
    with pytest.raises(MailSendError, match=f"no text in {charset}"):
        _attached(part)
