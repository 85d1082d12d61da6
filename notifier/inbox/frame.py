"""The HTML of a mail as a document of its own, for a sandboxed frame.

Nothing in it ever runs, and nothing is fetched unless the reader asked for remote content; inline images (cid:) are
built into the document.
"""

import base64
import re
from dataclasses import dataclass
from urllib.parse import unquote

from notifier.inbox.message import Attachment, ReceivedMessage

_CID = re.compile(r"cid:([^\"'\s)>]+)", re.IGNORECASE)
_REMOTE = re.compile(
    r"(?:\b(?:src|srcset|background|poster)\s*=|\burl\(|@import|<link\b[^>]*?\bhref\s*=)\s*[\"']?\s*(?:https?:)?//",
    re.IGNORECASE,
)
_HEAD_OPENS = (
    re.compile(r"<head(?:\s[^>]*)?>", re.IGNORECASE),
    re.compile(r"<html(?:\s[^>]*)?>", re.IGNORECASE),
    re.compile(r"\A\s*<!doctype[^>]*>", re.IGNORECASE),
)
# A click on a link opens a tab of its own, outside of the sandbox: confirming an address is what one comes here for.
_BASE = '<base target="_blank">'
_SANDBOX = "sandbox allow-popups allow-popups-to-escape-sandbox"
_NOWHERE = f"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'; {_SANDBOX}"
_BUILT_IN = f"{_NOWHERE}; img-src data:; font-src data:; style-src 'unsafe-inline'"
_REMOTE_TOO = (
    f"{_NOWHERE}; img-src data: http: https:; font-src data: http: https:; style-src 'unsafe-inline' http: https:"
)


@dataclass(frozen=True)
class Frame:
    """What the frame is served with."""

    document: str
    policy: str  # Content-Security-Policy


def frame_of(html: str, message: ReceivedMessage, *, remote: bool) -> Frame:
    """The document for the frame; `remote` lets it load images, fonts and style sheets from elsewhere."""
    document = _link_out(_with_inline_images(html, message.attachments))
    return Frame(document, _REMOTE_TOO if remote else _BUILT_IN)


def wants_remote(html: str) -> bool:
    """Whether the HTML asks for anything from elsewhere that the frame does not load by itself."""
    return _REMOTE.search(html) is not None


def is_inline(attachment: Attachment, message: ReceivedMessage) -> bool:
    """Whether the HTML shows this attachment, so that it need not be offered beside it."""
    return bool(attachment.content_id) and f"cid:{attachment.content_id}" in unquote(message.html or "")


def _with_inline_images(html: str, attachments: tuple[Attachment, ...]) -> str:
    images = {
        attachment.content_id: attachment
        for attachment in attachments
        if attachment.content_id and attachment.content_type.startswith("image/")
    }

    def data_url(reference: re.Match[str]) -> str:
        image = images.get(unquote(reference[1]))
        if image is None:
            return reference[0]
        return f"data:{image.content_type};base64,{base64.b64encode(image.content).decode()}"

    return _CID.sub(data_url, html)


def _link_out(html: str) -> str:
    """Before the doctype the base would switch the document to quirks mode, so it goes as far in as it can."""
    for opening in _HEAD_OPENS:
        if place := opening.search(html):
            return html[: place.end()] + _BASE + html[place.end() :]
    return _BASE + html
