"""Images that a version pins: what its mails call them, where the world sees them, and which of them a mail shows.

The bytes never come here, only what pins them.
"""

import re
from collections.abc import Collection, Mapping
from typing import Final

import msgspec

from notifier.mail.mail_parts import MailAttachment

MAX_IMAGES_PER_VERSION: Final = 20
IMAGE_EXTENSIONS: Final = {"image/png": "png", "image/jpeg": "jpg"}
_IMAGE_CALL = re.compile(r"""\b(?:asset|image)\s*\(\s*(?:name\s*=\s*)?["']([a-z][a-z0-9_-]{0,63})["']""")


class PinnedAsset(msgspec.Struct, frozen=True, kw_only=True):
    """An image as a version shows it; its bytes are stored by their SHA-256, and never change."""

    sha256: str  # hexadecimal, of the bytes
    content_type: str
    width: int  # CSS pixels, as shown; the file may have twice as many
    height: int


def find_image_names(texts: Collection[str]) -> set[str]:
    """Find the images that texts of templates name; perhaps too many, never too few that can be shown."""
    return {name for text in texts if "(" in text for name in _IMAGE_CALL.findall(text)}


def build_content_id(name: str, asset: PinnedAsset) -> str:
    """Build what the HTML calls an image of its own mail."""
    return f"{name}.{asset.sha256[:8]}@assets"


def build_image_url(public_url: str, asset: PinnedAsset) -> str:
    """Build the address where the world sees the image: other bytes are at another address."""
    return f"{public_url}/assets/{asset.sha256}.{IMAGE_EXTENSIONS[asset.content_type]}"


def list_shown_images(assets: Mapping[str, PinnedAsset], html: str | None) -> list[str]:
    """List the names of the images that this HTML takes from its own mail."""
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
