"""What a mail is made of, and the finished mail: plain data that parent and rendering child exchange in MessagePack.

Images of a template are here as a version pins them, without their bytes.
"""

import re
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Final

import msgspec


class Mailbox(msgspec.Struct, frozen=True):
    """An address with an optional display name (RFC 5322 §3.4)."""

    address: str
    name: str | None = None


class MailHeader(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The header of a mail without its subject: fixed at submission, so that all attempts have the same bytes."""

    message_id: str  # with angle brackets
    date: datetime  # aware
    sender: Mailbox
    recipient: str  # of the To field; for a copy, that of the notification it is a copy of
    cc: list[str] = []  # addresses, as they stand in the Cc field
    reply_to: Mailbox | None = None
    extra: dict[str, str] = msgspec.field(default_factory=dict)


class LiteralContent(msgspec.Struct, frozen=True, kw_only=True):
    """Content as its caller wrote it: it is not rendered, and no style is moved."""

    subject: str
    html: str | None = None  # None: the mail has a text part only
    text: str | None = None  # None: made from the HTML


class MailAttachment(msgspec.Struct, frozen=True, kw_only=True):
    """A file that is sent with a mail, checked at submission."""

    filename: str
    content_type: str  # "type/subtype", perhaps with parameters
    content_id: str | None  # without angle brackets; None for one that the HTML does not show
    data: bytes


class MailParts(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a mail before it becomes MIME."""

    subject: str
    html: str | None
    text: str


class RenderedParts(MailParts, frozen=True, kw_only=True):
    """The three parts of a rendered template."""

    html: str


class RenderedMail(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A mail ready to send: canonical CRLF bytes and their SHA-256."""

    wire: bytes
    sha256: bytes


class MailWithGaps(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A mail without the bytes of its attachments and images."""

    pieces: list[bytes | int]  # bytes as they stand; a number is the place of that attachment, in base64
    images: list[str] = []  # names in the version's assets; they are numbered behind the attachments


MAX_IMAGES_PER_VERSION: Final = 20
IMAGE_EXTENSIONS: Final = {"image/png": "png", "image/jpeg": "jpg"}
_IMAGE_CALL = re.compile(r"""\b(?:asset|image)\s*\(\s*(?:name\s*=\s*)?["']([a-z][a-z0-9_-]{0,63})["']""")


class PinnedAsset(msgspec.Struct, frozen=True, kw_only=True):
    """An image as a version pins it; its bytes are stored by their SHA-256, and never change."""

    sha256: str  # hexadecimal, of the bytes
    content_type: str
    width: int  # CSS pixels, as shown; the file may have twice as many
    height: int


def find_image_names(texts: Collection[str]) -> set[str]:
    """Find the images that texts of templates name; perhaps too many, but all that can be shown."""
    return {name for text in texts if "(" in text for name in _IMAGE_CALL.findall(text)}


def build_content_id(name: str, asset: PinnedAsset) -> str:
    """Build the content id by which the HTML shows an image of its own mail."""
    return f"{name}.{asset.sha256[:8]}@assets"


def build_image_url(public_url: str, asset: PinnedAsset) -> str:
    """Build the public address of the image; other bytes have another address."""
    return f"{public_url}/assets/{asset.sha256}.{IMAGE_EXTENSIONS[asset.content_type]}"


def list_shown_images(assets: Mapping[str, PinnedAsset], html: str | None) -> list[str]:
    """List the names of the images that this HTML shows by content id."""
    return [name for name, asset in assets.items() if html and f"cid:{build_content_id(name, asset)}" in html]


def build_image_attachments(assets: Mapping[str, PinnedAsset], names: Collection[str]) -> list[MailAttachment]:
    """Build the attachments for images, without their bytes."""
    return [
        MailAttachment(
            filename=f"{name}.{IMAGE_EXTENSIONS[assets[name].content_type]}",
            content_type=assets[name].content_type,
            content_id=build_content_id(name, assets[name]),
            data=b"",
        )
        for name in names
    ]
