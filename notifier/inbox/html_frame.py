"""Builds the HTML document of a mail for a sandboxed frame, with its inline images (cid:) as data URLs.

Nothing in it runs, and nothing is fetched unless the reader asked for remote content. Each pattern here ends at the
next `<` or after a few blanks, so that it takes linear time.
"""

import base64
import re
from dataclasses import dataclass
from urllib.parse import unquote

from notifier.inbox.received_message import ReceivedAttachment, ReceivedMessage

MAX_INLINE_IMAGE_BYTES = 32 * 1024 * 1024
"""Characters of `data:` URLs in one frame; further images stay as references."""
_CID = re.compile(r"cid:([^\"'\s)>]+)", re.IGNORECASE)
_REMOTE = re.compile(
    r"(?:\b(?:src|srcset|background|poster)\s{0,9}=|\burl\(|@import|<link\b[^<>]*?\bhref\s{0,9}=)"
    r"\s{0,9}[\"']?\s{0,9}(?:https?:)?//",
    re.IGNORECASE,
)
_HEAD_OPENS = (
    re.compile(r"<head(?:\s[^<>]*)?>", re.IGNORECASE),
    re.compile(r"<html(?:\s[^<>]*)?>", re.IGNORECASE),
)
_DOCTYPE = re.compile(r"\s*+<!doctype[^<>]*>", re.IGNORECASE)
# A link opens in a new tab outside the sandbox: people open the inbox to follow confirmation links.
_BASE = '<base target="_blank">'
_SANDBOX = "sandbox allow-popups allow-popups-to-escape-sandbox"
_NOWHERE = f"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'; {_SANDBOX}"
_BUILT_IN = f"{_NOWHERE}; img-src data:; font-src data:; style-src 'unsafe-inline'"
_REMOTE_TOO = (
    f"{_NOWHERE}; img-src data: http: https:; font-src data: http: https:; style-src 'unsafe-inline' http: https:"
)


@dataclass(frozen=True)
class HtmlFrame:
    """The document of a frame, and the policy that it is served with."""

    document: str
    policy: str  # Content-Security-Policy


def build_frame(html: str, message: ReceivedMessage, *, remote: bool) -> HtmlFrame:
    """Build the document; `remote` lets it load images, fonts and style sheets from other hosts."""
    document = _insert_base(_embed_images(html, message.attachments))
    return HtmlFrame(document, _REMOTE_TOO if remote else _BUILT_IN)


def has_remote_content(html: str) -> bool:
    """True if the HTML refers to images, fonts or style sheets on other hosts."""
    return _REMOTE.search(html) is not None


def list_inline_content_ids(message: ReceivedMessage) -> frozenset[str]:
    """The ids of the attachments that the HTML shows, which the page does not offer as files."""
    return frozenset(unquote(reference) for reference in _CID.findall(message.html or ""))


def _embed_images(html: str, attachments: tuple[ReceivedAttachment, ...]) -> str:
    images = {
        attachment.content_id: attachment
        for attachment in attachments
        if attachment.content_id and attachment.content_type.startswith("image/")
    }
    urls: dict[str, str] = {}
    remaining = MAX_INLINE_IMAGE_BYTES

    def build_data_url(reference: re.Match[str]) -> str:
        nonlocal remaining
        name = unquote(reference[1])
        image = images.get(name)
        if image is None:
            return reference[0]
        if name not in urls:
            urls[name] = f"data:{image.content_type};base64,{base64.b64encode(image.content).decode()}"
        if len(urls[name]) > remaining:
            return reference[0]
        remaining -= len(urls[name])
        return urls[name]

    return _CID.sub(build_data_url, html)


def _insert_base(html: str) -> str:
    """Insert the base element, as far in as possible: before the doctype it would cause quirks mode."""
    places = (opening.search(html) for opening in _HEAD_OPENS)
    place = next(filter(None, places), None) or _DOCTYPE.match(html)
    end = place.end() if place else 0
    return html[:end] + _BASE + html[end:]
