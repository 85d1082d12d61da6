"""Shows the HTML of a mail: the document of a frame, with inline images (cid:) as data URLs, and its policy.

Nothing in the frame runs, and nothing is fetched unless the reader asked for remote content. The patterns for HTML end
at the next `<` or after a few blanks, so that they take linear time.
"""

import base64
import re
from urllib.parse import unquote

from notifier.inbox.received_message import ReceivedAttachment, ReceivedMessage
from notifier.mail.link_target import insert_link_target

MAX_INLINE_IMAGE_BYTES = 32 * 1024 * 1024
"""Characters of `data:` URLs in one frame; further images stay as references."""
_CID = re.compile(r"cid:([^\"'\s)>]+)", re.IGNORECASE)
_REMOTE = re.compile(
    r"(?:\b(?:src|srcset|background|poster)\s{0,9}=|\burl\(|@import|<link\b[^<>]*?\bhref\s{0,9}=)"
    r"\s{0,9}[\"']?\s{0,9}(?:https?:)?//",
    re.IGNORECASE,
)
# A link opens in a new tab outside the sandbox: people open the inbox to follow confirmation links.
_SANDBOX = "sandbox allow-popups allow-popups-to-escape-sandbox"
_NOWHERE = f"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'; {_SANDBOX}"
_BUILT_IN = f"{_NOWHERE}; img-src data:; font-src data:; style-src 'unsafe-inline'"
_REMOTE_TOO = (
    f"{_NOWHERE}; img-src data: http: https:; font-src data: http: https:; style-src 'unsafe-inline' http: https:"
)


def build_frame_headers(*, remote: bool) -> dict[str, str]:
    """Build the header fields of the frame; `remote` allows images, fonts and styles of other hosts."""
    policy = _REMOTE_TOO if remote else _BUILT_IN
    return {"Content-Security-Policy": policy, "X-Frame-Options": "SAMEORIGIN"}


def build_frame(html: str, message: ReceivedMessage) -> str:
    """Build the document of a frame: HTML with the inline images of the message."""
    return insert_link_target(_embed_images(html, message.attachments))


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
